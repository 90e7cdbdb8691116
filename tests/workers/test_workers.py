"""The application of `fal_async/webhooks/README.md` with three workers, one of which is killed in the middle.

`python -m tests.workers.prove` does this on a larger scale.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from fal_async.emulator import Emulator, Fault
from fal_async.ledger.opening import Where, open_store
from fal_async.protocol.ledger.entry import Place
from fal_async.protocol.ledger.key_checks import space_of
from tests.quick import gate_at
from tests.workers.processes import MODEL, calling, working, wrong

CALLS = 24
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the workers share a socket of this process")


async def owner_of(emulator: Emulator, where: Where, key: str) -> int:
    """Return the pid of the worker that has claimed this key."""
    store = await open_store(where)
    try:
        record = await store.find(Place(space=space_of(emulator.hosts), key=key))
    finally:
        await store.aclose()
    assert record is not None
    assert (record.state, record.request_id) == ("claimed", None)
    assert record.owner is not None
    return record.owner.pid


@pytest.mark.timeout(120)
async def test_calls_of_a_killed_worker_get_their_results_from_the_others_without_a_second_bill(
    emulator: Emulator, where: Where
) -> None:
    gate = gate_at(emulator, MODEL)
    # The first submit is accepted, but its worker never gets the request id.
    emulator.faults.add(Fault.stall(600, on="submit", taken=True))
    async with (
        working(emulator, where, 3) as workers,
        calling(workers.url) as callers,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(callers.call(0))
        await until(lambda: len(emulator.jobs) == 1)
        pid = await owner_of(emulator, where, "pictures:order-0")
        for n in range(1, CALLS):
            group.create_task(callers.call(n))
        await until(lambda: len(emulator.jobs) == CALLS)
        await workers.kill(pid)
        await workers.start()
        await until(lambda: callers.broken > 0)
        gate.open()
    assert wrong(emulator, callers, CALLS) == []
    assert [emulator.count(kind) for kind in ("submit", "result", "platform")] == [CALLS, 0, 0]
    assert callers.refused == {}


async def until(is_so: Any) -> None:
    while not is_so():
        await asyncio.sleep(0.01)
