"""A process is killed at each step of an item, and started again. The item is billed once, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from fal_async.emulator import Emulator, Fault
from tests.durability.client import Plan
from tests.durability.client_process import KILLED, kill, run, started
from tests.durability.killing_store import Kill
from tests.durability.runs import ITEMS, a_plan, assert_all_there, books


async def killed_at(emulator: Emulator, plan: Plan, point: Kill | Fault) -> None:
    """Kill the program at a call of its store, with one item done and one running.

    If `point` is a fault, kill the program while the server has the requests of all items and has not answered yet.
    """
    if isinstance(point, Kill):
        ran = await run(emulator.url, attrs.evolve(plan, kill=point, at_once=1))
        assert ran.status == KILLED, ran.errors
        return
    emulator.faults.add(point)
    async with started(emulator.url, plan) as process:
        await emulator.wait_for(point.on, plan.count, timeout=30)
        await kill(process)
    emulator.faults.clear()


def held_back(on: str, **other: Any) -> Fault:
    return Fault.stall(600, on=on, times=None, **other)


ONE_BILL: dict[str, Kill | Fault] = {
    "before the claim": Kill(method="claim", when="before", nth=2),
    "between the submit's last byte and its answer": held_back("submit"),
    "after the id, before its write": Kill(method="submitted", when="before", nth=2),
    "after the id": Kill(method="submitted", when="after", nth=2),
    "in the middle of a poll": held_back("status"),
    "after the result, before its write": Kill(method="end", when="before", nth=2),
    "in a download": held_back("file", where="body"),
    "after a download, before its write": Kill(method="set_files", when="before", nth=2),
}


@pytest.mark.parametrize("point", ONE_BILL)
async def test_a_batch_killed_and_started_again_pays_each_item_once(
    pictures: Emulator, tmp_path: Path, point: str
) -> None:
    plan = a_plan(tmp_path)
    await killed_at(pictures, plan, ONE_BILL[point])
    assert_all_there(await run(pictures.url, plan), plan)
    after = await books(pictures, plan)
    assert (after.wrong, len(pictures.jobs), after.states) == ([], ITEMS, ["done"] * ITEMS)


async def test_an_item_killed_between_claim_and_submit_is_uncertain_until_resolved(
    pictures: Emulator, tmp_path: Path
) -> None:
    """fal's history does not show the request, but may not be up to date, so this is not a proof yet."""
    plan = a_plan(tmp_path)
    await killed_at(pictures, plan, Kill(method="claim", when="after", nth=2))
    ran = await run(pictures.url, plan)
    assert (ran.status, ran.wrong) == (0, {1: "SubmissionUncertainError"}), ran.errors
    assert (await books(pictures, plan)).states.count("uncertain") == 1
    assert len(pictures.jobs) == ITEMS - 1
    plan = attrs.evolve(plan, give_up=True)
    assert_all_there(await run(pictures.url, plan), plan)
    assert ((await books(pictures, plan)).wrong, len(pictures.jobs)) == ([], ITEMS)


async def test_a_keyed_subscribe_killed_during_a_poll_pays_once(pictures: Emulator, tmp_path: Path) -> None:
    plan = a_plan(tmp_path, way="subscribe")
    await killed_at(pictures, plan, ONE_BILL["in the middle of a poll"])
    assert_all_there(await run(pictures.url, plan), plan)
    after = await books(pictures, plan)
    assert (after.wrong, len(pictures.jobs), after.states) == ([], ITEMS, ["done"] * ITEMS)
