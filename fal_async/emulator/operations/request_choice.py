"""Reads what a request has chosen for itself, and finds the fault that one of its calls gets by that."""

from __future__ import annotations

import json
from typing import Any

from fal_async.emulator.core import Call
from fal_async.emulator.faults.choice import CHOOSING, HEADER, MEMBER, BadChoice, read_choice
from fal_async.emulator.faults.fault import Fault
from fal_async.emulator.faults.script import FaultScript

_MEMBER = MEMBER.encode()


def chosen_fault(faults: FaultScript, call: Call) -> Fault | None:
    """Return the fault that a request has chosen for this call, or None. A choice that can't be read is a 400.

    `faults` counts it.

    The input's member is taken out, so that neither the model nor the books see it.
    """
    kind = call.route.kind
    if kind in CHOOSING:
        try:
            call.choice = read_choice(kind, call.headers.get(HEADER), _member(call))
        except BadChoice as error:
            return Fault.answer(400, detail=f"{HEADER}: {error}", error_type="bad_request")
    choice = call.choice if call.job is None else call.job.choice
    fault = None if choice is None else choice.calls.take(kind, call.endpoint_id)
    faults.struck += fault is not None
    return fault


def _member(call: Call) -> Any:
    if _MEMBER not in call.body:
        return None
    try:
        input = json.loads(call.body)
    except (ValueError, RecursionError):
        return None  # the model's own answer says so
    if not isinstance(input, dict) or MEMBER not in input:
        return None
    member = input.pop(MEMBER)
    call.body = json.dumps(input).encode()
    return member
