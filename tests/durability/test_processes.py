"""Several processes that use one ledger file at the same time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fal_async.emulator import Emulator
from tests.durability.client_process import ended, kill, run, started
from tests.durability.runs import a_plan, assert_all_there, books


async def test_two_processes_with_the_same_batch_pay_each_item_once(
    pictures: Emulator, tmp_path: Path
) -> None:
    plan = a_plan(tmp_path, count=30, seconds=0.05, at_once=10)
    both = await asyncio.gather(*(run(pictures.url, plan) for _ in range(2)))
    for ran in both:
        assert_all_there(ran, plan)
    assert ((await books(pictures, plan)).wrong, len(pictures.jobs)) == ([], plan.count)


@pytest.mark.parametrize("killed", [False, True])
async def test_one_key_in_four_processes_makes_one_submit(
    pictures: Emulator, tmp_path: Path, killed: bool
) -> None:
    """Each process has fifty callers. If the process that submitted is killed, the others follow its request."""
    plan = a_plan(tmp_path, way="one key", count=50, seconds=0.5)
    async with started(pictures.url, plan) as first:
        await pictures.wait_for("status", timeout=30)
        others = [asyncio.create_task(run(pictures.url, plan)) for _ in range(3)]
        ends = [await kill(first) if killed else await ended(first), *await asyncio.gather(*others)]
    (job,) = pictures.jobs.values()
    for ran in ends[killed:]:
        assert ran.status == 0, ran.errors
        assert ran.items.keys() - {-1} == set(range(plan.count))
        assert {(item["request_id"], item["data"]["n"]) for item in ran.items.values()} == {
            (job.request_id, 0)
        }
    assert -1 not in ends[0].items, "the first caller of the first process was cancelled"
