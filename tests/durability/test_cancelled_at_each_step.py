"""A keyed call is cancelled, or its session closed, after each step of the loop. It has one request and one entry.

The steps are those of the event loop. The ledger's writer is a thread, so a step may meet it at another point in
another run; the call must be paid once in each case.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fal_async import Ledger, Session, SessionStateError
from fal_async.emulator import Emulator
from tests.durability.client import PICTURES
from tests.keyed.workers import workers
from tests.quick import session_on

INPUT = {"n": 0, "seconds": 0.01}
RESOLVED = {None, "submitted", "done"}


async def after(steps: int, fal: Session, key: str, **options: Any) -> asyncio.Task[Any]:
    task = asyncio.create_task(fal.subscribe(PICTURES, INPUT, key=key, poll_interval=0.001, **options))
    for _ in range(steps):
        await asyncio.sleep(0)
    return task


async def state_of(ledger: Ledger, key: str) -> str | None:
    entry = await ledger.get(key)
    return None if entry is None else entry.state


async def test_a_keyed_call_cancelled_at_any_step_goes_on_and_is_not_paid_again(
    pictures: Emulator, tmp_path: Path
) -> None:
    async with await Ledger.open(tmp_path / "runs.db") as ledger, session_on(pictures, ledger=ledger) as fal:
        for steps in range(0, 90, 2):
            key, before = f"after {steps}", len(pictures.jobs)
            task = await after(steps, fal, key)
            task.cancel()
            await asyncio.wait([task])
            result = await fal.subscribe(PICTURES, INPUT, key=key)
            assert result.data["n"] == 0
            assert len(pictures.jobs) == before + 1, steps
            entry = await ledger.get(key)
            assert entry is not None
            assert (entry.state, entry.attempts, entry.request_id) == ("done", 1, result.request_id), steps
    assert pictures.count("cancel") == 0


@pytest.mark.parametrize("start", range(4))
async def test_a_session_closed_at_any_step_leaves_no_claim_and_the_next_one_continues(
    pictures: Emulator, tmp_path: Path, start: int
) -> None:
    async with await Ledger.open(tmp_path / "runs.db") as ledger:
        for steps in range(start * 3, 84, 12):
            key, before = f"after {steps}", len(pictures.jobs)
            async with session_on(pictures, ledger=ledger) as fal:
                task = await after(steps, fal, key)
            await asyncio.wait([task])
            assert (
                task.cancelled()
                or task.exception() is None
                or isinstance(task.exception(), SessionStateError)
            )
            assert await state_of(ledger, key) in RESOLVED, steps
            async with session_on(pictures, ledger=ledger) as fal:
                result = await fal.subscribe(PICTURES, INPUT, key=key)
            assert (result.data["n"], len(pictures.jobs)) == (0, before + 1), steps


async def test_a_call_in_webhook_mode_cancelled_at_any_step_goes_on_and_is_not_paid_again(
    pictures: Emulator, tmp_path: Path
) -> None:
    async with workers(pictures, tmp_path / "runs.db") as door:
        for steps in range(0, 120, 4):
            key, before, (fal,) = f"after {steps}", len(pictures.jobs), door.workers
            task = asyncio.create_task(fal.subscribe(PICTURES, INPUT, key=key, mode="webhook"))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            result = await fal.subscribe(PICTURES, INPUT, key=key, mode="webhook")
            assert (result.data["n"], len(pictures.jobs)) == (0, before + 1), steps
    assert [pictures.count(kind) for kind in ("cancel", "status", "platform")] == [0, 0, 0]
