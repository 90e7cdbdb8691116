"""The disk becomes full during a batch. Nothing more is paid for, and the entries in the ledger are kept."""

from __future__ import annotations

from pathlib import Path

import attrs

from fal_async.emulator import Emulator
from tests.durability.client_process import run
from tests.durability.runs import a_plan, assert_all_there, books


async def test_a_full_disk_stops_submits_and_the_next_run_finishes(
    pictures: Emulator, tmp_path: Path
) -> None:
    plan = a_plan(tmp_path, count=60, at_once=5)
    full = await run(pictures.url, attrs.evolve(plan, file_limit=250_000))
    paid = len(pictures.jobs)
    assert 0 < paid < plan.count
    assert "LedgerError" in full.errors or "LedgerError" in full.wrong.values()
    done = [number for number in full.items if number not in full.wrong]
    assert paid <= len(done) + plan.at_once
    assert_all_there(await run(pictures.url, plan), plan)
    assert ((await books(pictures, plan)).wrong, len(pictures.jobs)) == ([], plan.count)
