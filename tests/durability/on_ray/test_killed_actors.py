"""A small version of the proof that `make prove-ray` runs with 5,000 items."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from fal_async.emulator import Emulator
from tests.durability.client import Plan
from tests.durability.client_process import run
from tests.durability.random_kills import now_and_then, prove_on_ray
from tests.durability.runs import assert_all_there, books
from tests.testbed.ray_cluster import needs_ray

pytestmark = [needs_ray, pytest.mark.timeout(240)]


@pytest.mark.parametrize("kind", ["file", "database"])
async def test_an_actor_killed_three_times_with_random_faults_pays_each_row_once(
    kind: str, database: str, pictures: Emulator, tmp_path: Path
) -> None:
    pictures.faults.seed(1)
    pictures.faults.add(*now_and_then())
    ledger = database if kind == "database" else str(tmp_path / "runs.db")
    plan = Plan(ledger=ledger, way="ray", count=200, seconds=0.1, at_once=20, actor_kills=3)
    account = await prove_on_ray(pictures.url, plan, patience=None)
    assert account.wrong == []
    assert (account.kills, account.items) == (3, 200)
    assert pictures.faults.struck > 20


async def test_a_dataset_that_failed_with_its_actor_pays_no_row_again_when_it_is_mapped_again(
    pictures: Emulator, tmp_path: Path
) -> None:
    plan = Plan(
        ledger=str(tmp_path / "runs.db"), way="ray", count=160, seconds=0.1, actor_kills=1, restarts=False
    )
    failed = await run(pictures.url, plan)
    assert (failed.status, failed.items) == (1, {})
    assert "ActorDiedError" in failed.errors
    paid = pictures.count("submit")
    again = await run(pictures.url, attrs.evolve(plan, actor_kills=0, give_up=True))
    assert_all_there(again, plan)
    account = await books(pictures, plan)
    assert account.wrong == []
    assert (account.states, len(pictures.jobs)) == (["done"] * 160, 160)
    assert paid > 0
