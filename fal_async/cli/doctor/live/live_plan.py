"""What `doctor --live` will send and about what it costs, and whether the user agrees."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import attrs

from fal_async.cli.doctor.live.questions import MOST_REQUESTS
from fal_async.cli.doctor.wire import Wire
from fal_async.errors import ConfigurationError, FalError, one_line
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.json_input import encode_json
from fal_async.protocol.realtime import DEFAULT_PATH
from fal_async.storage.threads import abandonable

INPUTS: Mapping[str, Mapping[str, Any]] = {
    "fal-ai/flux/schnell": {
        "prompt": "a grey square",
        "image_size": {"width": 256, "height": 256},
        "num_images": 1,
        "num_inference_steps": 12,  # as slow as possible at the same price, so that a cancel can arrive in time
    },
    "fal-ai/any-llm": {"prompt": "Answer with one word: yes."},
}
"""Cheap inputs of cheap endpoints."""


@attrs.frozen(kw_only=True)
class Plan:
    """The endpoint, and the input of all requests.

    Attributes:
        endpoint: the endpoint.
        input: the input.
        realtime: the endpoint of realtime sessions, with its path; None: none.
    """

    endpoint: EndpointId
    input: Mapping[str, Any]
    realtime: EndpointId | None = None

    @property
    def body(self) -> bytes:
        """The JSON of the input."""
        return encode_json(self.input)


def plan_of(endpoint_id: str, input: str | None, realtime: str | None = None) -> Plan:
    """Return the plan, or raise ConfigurationError if it is invalid.

    `input`: JSON text; None: the known input of the endpoint. `realtime`: the endpoint of realtime sessions; None:
    there are none.
    """
    endpoint = EndpointId.parse(endpoint_id)
    sessions = None if realtime is None else EndpointId.parse(f"{realtime}{DEFAULT_PATH}")
    if input is None:
        known = INPUTS.get(endpoint.full)
        if known is None:
            raise ConfigurationError(
                f"--endpoint {endpoint.full}: pass --input '{{...}}', a cheap input for it (known without: "
                f"{', '.join(INPUTS)})"
            )
        return Plan(endpoint=endpoint, input=known, realtime=sessions)
    try:
        value = json.loads(input)
    except ValueError as error:
        raise ConfigurationError(
            f'--input: expected a JSON object, such as {{"prompt": "x"}} ({error})'
        ) from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"--input: expected a JSON object, got {type(value).__name__}")
    return Plan(endpoint=endpoint, input=value, realtime=sessions)


async def announcement(plan: Plan, wire: Wire) -> str:
    """Return what will be sent, and what it costs by fal's prices, which are read first and cost nothing."""
    lines = (
        f"This sends up to {MOST_REQUESTS} requests to {plan.endpoint.full} at {wire.settings.hosts.queue}, "
        f"with the input {one_line(plan.body.decode(), 120)}",
        await _price(plan, wire),
        _sessions(plan.realtime),
        "Each request is followed to its end or cancelled, also after Ctrl-C. All other calls cost nothing.",
    )
    return "\n".join(filter(None, lines))


def _sessions(realtime: EndpointId | None) -> str:
    if realtime is None:
        return ""
    return (
        f"It opens two realtime sessions at {realtime.full} for a few seconds, without an input. "
        "Some apps bill the time."
    )


async def _price(plan: Plan, wire: Wire) -> str:
    endpoint = plan.endpoint.full
    try:
        (price,) = await wire.platform.pricing(endpoint)
    except (FalError, ValueError) as error:
        reason = error.message if isinstance(error, FalError) else "not one price"
        return f"Price: unknown ({reason}): see https://fal.ai/models/{endpoint}"
    words = f"Price: {price.unit_price:f} {price.currency} per {price.unit or 'unit'}"
    try:
        estimate = await wire.platform.estimate(calls={endpoint: MOST_REQUESTS})
    except FalError:
        return f"{words}, so {price.unit_price * MOST_REQUESTS:f} {price.currency} if each request takes one"
    return f"{words}; by fal's estimate {MOST_REQUESTS} requests cost {estimate.total_cost:f} {estimate.currency}"


def can_confirm() -> bool:
    """Return whether a person can be asked: standard input and standard error are terminals."""
    streams = (sys.stdin, sys.stderr)
    return all(stream is not None and stream.isatty() for stream in streams)


async def confirmed() -> bool:
    """Ask the person, and return whether the answer is yes. If this call is cancelled, its thread is abandoned."""
    print("Continue? [y/N] ", end="", file=sys.stderr, flush=True)
    return (await abandonable(_line)).strip().lower() in ("y", "yes")


def _line() -> str:
    # Without a buffer, whose lock an abandoned thread would keep: the interpreter could not exit then.
    with open(0, "rb", buffering=0, closefd=False) as stdin:
        return stdin.readline().decode(errors="replace")
