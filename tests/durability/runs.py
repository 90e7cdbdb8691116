"""Shared by the durability tests: a plan, and the comparison of server and ledger after a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from fal_async import Ledger, LedgerEntry
from fal_async.emulator import Emulator
from tests.durability.client import Plan
from tests.durability.client_process import Ran
from tests.durability.pictures import picture, wrong_in_the_books

ITEMS = 4


@attrs.frozen(kw_only=True)
class Books:
    """The server's jobs and the ledger's entries after a run."""

    emulator: Emulator
    entries: list[LedgerEntry]

    @property
    def wrong(self) -> list[str]:
        jobs = [attrs.asdict(job, recurse=False) for job in self.emulator.jobs.values()]
        return wrong_in_the_books(jobs, self.entries)

    @property
    def states(self) -> list[str]:
        return [entry.state for entry in self.entries]


async def books(emulator: Emulator, plan: Plan) -> Books:
    async with await Ledger.open(plan.ledger) as ledger:
        return Books(emulator=emulator, entries=[entry async for entry in ledger.entries()])


def a_plan(folder: Path, **other: Any) -> Plan:
    plan = Plan(ledger=str(folder / "runs.db"), count=ITEMS, download=str(folder / "out"))
    return attrs.evolve(plan, **other)


def assert_all_there(ran: Ran, plan: Plan) -> None:
    """Assert that the run has every result, and every file once, with the right content.

    Hidden files are ignored: killed downloads have left them incomplete.
    """
    numbers = range(plan.first, plan.first + plan.count)
    assert (ran.status, ran.wrong) == (0, {}), ran.errors
    assert {number: item["data"]["n"] for number, item in ran.items.items()} == {n: n for n in numbers}
    if plan.way == "map" and plan.download is not None:
        files = sorted(path for path in Path(plan.download).glob("[!.]*"))
        assert sorted(path.read_bytes() for path in files) == sorted(picture(n) for n in numbers)
