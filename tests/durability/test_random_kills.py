"""Small versions of the proofs that `make prove` runs with thousands of items."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fal_async.emulator import Emulator
from tests.durability.client import Plan
from tests.durability.fleet import Fleet
from tests.durability.pictures import serve_pictures
from tests.durability.random_kills import now_and_then, prove
from tests.testbed.postgres import cluster


@pytest.mark.timeout(300)
async def test_a_batch_killed_at_random_with_random_faults_pays_each_item_once(
    emulator: Emulator, tmp_path: Path
) -> None:
    serve_pictures(emulator)
    emulator.faults.seed(1)
    emulator.faults.add(*now_and_then())
    plan = Plan(
        ledger=str(tmp_path / "runs.db"), download=str(tmp_path / "out"), count=300, seconds=0.02, at_once=20
    )
    account = await prove(emulator.url, plan, kills=3, dice=random.Random(1), patience=None)
    assert account.wrong == []
    assert (account.kills, account.items) == (3, 300)
    assert account.jobs >= 300
    assert emulator.faults.struck > 30


@pytest.mark.timeout(300)
async def test_processes_on_one_database_pay_each_item_once_although_killed_and_it_restarts(
    emulator: Emulator,
) -> None:
    serve_pictures(emulator)
    emulator.faults.seed(1)
    emulator.faults.add(*now_and_then())
    with cluster() as server:
        plan = Plan(ledger=server.new_database(), way="subscribe", count=80, seconds=0.02, at_once=20)
        fleet = Fleet(
            url=emulator.url, plan=plan, server=server, dice=random.Random(1), workers=3, hurries=True
        )
        account = await fleet.prove(patience=None)
    assert account.wrong == []
    assert account.kills == 2
    assert account.jobs >= 80
