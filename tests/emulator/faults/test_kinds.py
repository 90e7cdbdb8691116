"""Each kind of fault with each operation: it changes what the caller sees, or it is refused when added."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import attrs
import pytest

from fal_async.emulator import Emulator, Fault
from fal_async.emulator.faults.fault_fields import ANY, ON
from fal_async.emulator.faults.kinds import KINDS
from fal_async.emulator.faults.script import FaultScript
from fal_async.emulator.wire.routing import OPERATIONS
from tests.emulator.caller import Caller, calling
from tests.emulator.faults.every_operation import Seen, look, prepare

AT_LEAST = {"stall": 0.79, "drip": 0.1}
"""Minimum seconds of an answer with the silent and the slow kinds: a busy machine only adds to them."""
FIELDS = "name status access_url upload_url token access_token models endpoint_id keys openapi partNumber"
FAULTS = [
    Fault.refuse(0.01),
    Fault.reset(),
    Fault.close(),
    Fault.stall(0.8),
    Fault.stall(0.8, where="body"),  # longer than the model of the status stream runs
    Fault.drip(0.003),
    Fault.truncate(),
    Fault.overtaken(),
    Fault.wrong_json(),
    Fault.html(),
    Fault.content_type("text/other"),
    Fault.answer(503),
    Fault.balance(),
    Fault.vanish(),
    Fault.redirect("https://elsewhere.example"),
    Fault.missing(*FIELDS.split(), "expiration_duration_seconds", "nickname", "error"),
    Fault.replace({"more": 1}),
    Fault.word("PAUSED"),
    Fault.back(5),
    Fault.duplicate(),
    Fault.foreign_urls("https://elsewhere.example"),
    Fault.event("x"),
    Fault.frame("x"),
    Fault.ws_close(4000),
]
REFUSED: Mapping[str, frozenset[str]] = {
    "drip": frozenset({"realtime"}),
    "overtaken": frozenset(OPERATIONS) - {"submit"},
    "content_type": frozenset({"realtime"}),
    "missing": frozenset({"file", "cdn_sign"}),
    "replace": frozenset({"file", "cdn_sign"}),
    "word": frozenset({"file", "cdn_sign", "realtime", "websocket"}),
    "back": frozenset({"file", "cdn_sign", "realtime", "websocket"}),
    "duplicate": frozenset(OPERATIONS)
    - {"status", "status_stream", "run", "result", "stream", "realtime", "websocket"},
    "foreign_urls": frozenset(OPERATIONS) - {"submit", "status", "status_stream", "run", "result", "stream"},
    "event": frozenset(OPERATIONS) - {"stream", "websocket"},
    "frame": frozenset(OPERATIONS) - {"realtime"},
    "ws_close": frozenset(OPERATIONS) - {"realtime"},
}
"""The operations that a kind cannot change. Kinds that are not listed can change all."""
MEANINGLESS = [(fault, on) for fault in FAULTS for on in sorted(REFUSED.get(fault.kind, ()))]


def test_every_kind_of_fault_is_in_the_table() -> None:
    assert list(dict.fromkeys(fault.kind for fault in FAULTS)) == list(KINDS)


@pytest.mark.parametrize(
    ("fault", "on"), MEANINGLESS, ids=[f"{fault.kind}-{on}" for fault, on in MEANINGLESS]
)
def test_a_fault_on_an_operation_that_it_cannot_change_is_refused_with_the_kinds_that_can(
    fault: Fault, on: str
) -> None:
    script = FaultScript()
    expected = ", ".join(kind for kind in KINDS if on not in REFUSED.get(kind, ()))
    with pytest.raises(ValueError, match=f"'{fault.kind}' cannot change '{on}': expected one of {expected}$"):
        script.add(Fault.reset(), attrs.evolve(fault, on=on))
    assert len(script) == 0, "a list of faults is added whole or not at all"


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{fault.kind}-{fault.where}" for fault in FAULTS])
def test_a_fault_on_every_operation_that_it_can_change_is_accepted(fault: Fault) -> None:
    script = FaultScript()
    for on in (ANY, *(on for on in OPERATIONS if on not in REFUSED.get(fault.kind, ()))):
        script.add(attrs.evolve(fault, on=on))
    assert len(script) == len(ON) - len(REFUSED.get(fault.kind, ()))


async def test_the_admin_route_refuses_a_fault_that_cannot_change_its_operation(caller: Caller) -> None:
    wanted = [Fault.reset().to_json(), Fault.event("x").to_json() | {"on": "submit"}]
    answer = await caller.call("POST", "/_emulator/faults", headers={}, json=wanted)
    assert answer.status == 400
    assert "'event' cannot change 'submit': expected one of refuse, reset, " in answer.data["detail"]
    assert list(caller.emulator.faults) == []


async def seen_with(fault: Fault | None, operation: str) -> list[Seen]:
    async with calling(Emulator(builtins=operation == "status", speed=20)) as caller:
        prepare(caller.emulator)
        if fault is not None:
            # Without limit, since aiohttp repeats a request when its connection breaks.
            caller.emulator.faults.add(attrs.evolve(fault, on=operation, times=None))
        return await look(caller, operation)


async def seen_without_a_fault() -> Mapping[str, list[Seen]]:
    seen = await asyncio.gather(*(seen_with(None, operation) for operation in OPERATIONS))
    return dict(zip(OPERATIONS, seen, strict=True))


@pytest.fixture(scope="module")
def plain() -> Mapping[str, list[Seen]]:
    """Return what is seen without a fault."""
    return asyncio.run(seen_without_a_fault())


async def test_two_calls_of_an_operation_without_a_fault_look_the_same(
    plain: Mapping[str, list[Seen]],
) -> None:
    """Otherwise the next test would find an effect of every fault."""
    assert await seen_without_a_fault() == plain


# "overtaken" changes only when the answer comes: tests/emulator/webhooks/test_webhooks.py.
SEEN = [fault for fault in FAULTS if fault.kind != "overtaken"]


@pytest.mark.parametrize("fault", SEEN, ids=[f"{fault.kind}-{fault.where}" for fault in SEEN])
async def test_every_accepted_pair_of_fault_and_operation_has_an_effect(
    plain: Mapping[str, list[Seen]], fault: Fault
) -> None:
    taken = [on for on in OPERATIONS if on not in REFUSED.get(fault.kind, ())]
    struck = await asyncio.gather(*(seen_with(fault, operation) for operation in taken))
    without = [on for on, seen in zip(taken, struck, strict=True) if not differs(fault, seen, plain[on])]
    assert without == []


def differs(fault: Fault, struck: list[Seen], plain: list[Seen]) -> bool:
    delay = AT_LEAST.get(fault.kind)
    return struck != plain or (delay is not None and any(one.seconds >= delay for one in struck))
