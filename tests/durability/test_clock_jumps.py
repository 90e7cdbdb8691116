"""The wall clock jumps by an hour. Time limits do not depend on it, and nothing is paid twice."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from fal_async.emulator import Emulator, Fault
from tests.durability.client_process import ended, kill, run, started
from tests.durability.jumping_clock import COMPILER, JumpingClock
from tests.durability.runs import a_plan, assert_all_there, books

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the clock needs a C compiler")
HOUR = 3600


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
async def test_a_clock_jump_during_a_batch_changes_nothing(
    pictures: Emulator, tmp_path: Path, jump: int
) -> None:
    clock, plan = JumpingClock(tmp_path), a_plan(tmp_path)
    pictures.faults.add(Fault.stall(0.3, on="submit"), Fault.stall(0.3, on="status"))
    async with started(pictures.url, plan, **clock.environment) as process:
        await pictures.wait_for("submit", timeout=30)
        clock.jump(jump)
        await pictures.wait_for("status", timeout=30)
        clock.jump(0)
        assert_all_there(await ended(process), plan)
    assert ((await books(pictures, plan)).wrong, len(pictures.jobs)) == ([], plan.count)


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
async def test_a_process_killed_with_a_wrong_clock_pays_nothing_twice(
    pictures: Emulator, tmp_path: Path, jump: int
) -> None:
    """Its claims have other times than fal's history, so a look-up without a match proves nothing."""
    clock, plan = JumpingClock(tmp_path), a_plan(tmp_path)
    clock.jump(jump)
    pictures.faults.add(Fault.stall(600, on="submit", times=None))
    async with started(pictures.url, plan, **clock.environment) as process:
        await pictures.wait_for("submit", plan.count, timeout=30)
        await kill(process)
    pictures.faults.clear()
    again = await run(pictures.url, plan)
    assert again.status == 0, again.errors
    assert set(again.wrong.values()) <= {"SubmissionUncertainError"}
    assert len(pictures.jobs) == plan.count
    assert_all_there(
        await run(pictures.url, attrs.evolve(plan, uncertain="resubmit"), **clock.environment), plan
    )
    assert ((await books(pictures, plan)).wrong, len(pictures.jobs)) == ([], plan.count)
