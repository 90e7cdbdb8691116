"""A batch with random faults that is killed at random moments, and started again each time.

At the end the server's jobs are compared with the ledger: `tests/durability/prove.py`, and on a small scale
`tests/durability/test_random_kills.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import attrs

from fal_async import Ledger
from fal_async.emulator import Fault
from tests.durability.client import Plan
from tests.durability.client_process import KILLED, Ran, ended, run, started
from tests.durability.pictures import picture, wrong_in_the_books

ROUNDS = 4
"""Maximum number of further runs for items that are still uncertain."""


@attrs.define(kw_only=True)
class Account:
    """The counts of a proof, and the errors that it found."""

    items: int
    kills: int = 0
    runs: int = 0
    jobs: int = 0
    submits: int = 0
    """Number of attempts in the ledger."""
    resubmitted: int = 0
    """Number of items with more than one attempt in the ledger."""
    wrong: list[str] = attrs.field(factory=list)
    stories: list[str] = attrs.field(factory=list)
    """A line about each run that was not killed."""

    def __str__(self) -> str:
        return (
            f"{self.items} items, {self.kills} kills, {self.runs} runs: {self.jobs} jobs on the server, "
            f"{self.submits} attempts in the ledger, {self.resubmitted} items with more than one; "
            f"{len(self.wrong)} wrong"
        )


def now_and_then() -> list[Fault]:
    """Return random faults: refused submits, broken ones (accepted or not), failed polls, incomplete downloads."""
    chances = (
        (0.05, Fault.answer(429, on="submit")),
        (0.02, Fault.reset(on="submit", taken=True)),
        (0.01, Fault.reset(on="submit")),
        (0.05, Fault.answer(503, on="status")),
        (0.05, Fault.truncate(on="file")),
    )
    return [attrs.evolve(fault, chance=chance, times=None) for chance, fault in chances]


async def prove(url: str, plan: Plan, *, kills: int, dice: random.Random, patience: float | None) -> Account:
    """Run a batch, kill it `kills` times, run it to its end, and compare the account.

    The faults go on to the end. Uncertain items are submitted again after `patience` seconds, in which fal's
    history catches up; None: a person resolves items that the history does not show as not taken.
    """
    account, left = Account(items=plan.count), plan.count
    while account.kills < kills and left > 0:
        account.runs += 1
        left -= await _killed(url, plan, account, dice.randrange(1, 2 + 2 * left // (kills + 1)), dice)
    ran = await to_the_end(url, plan, account, patience)
    await compare(url, plan, ran, account)
    return account


async def prove_on_ray(url: str, plan: Plan, *, patience: float | None) -> Account:
    """Map the items as rows of a Ray dataset, while actors are killed, and compare the account.

    Then they are mapped again without kills, as `prove` runs a batch to its end.
    """
    account = Account(items=plan.count, kills=plan.actor_kills, runs=1)
    ran = await run(url, plan)
    account.stories.append(f"run 1: {Counter(ran.wrong.values()) or 'all done'}")
    if ran.status == 0:
        ran = await to_the_end(url, attrs.evolve(plan, actor_kills=0), account, patience)
    await compare(url, plan, ran, account)
    return account


async def _killed(url: str, plan: Plan, account: Account, after: int, dice: random.Random) -> int:
    """Kill the program shortly after `after` new items have ended. Return how many have ended by then."""
    new = 0
    async with started(url, plan) as process:
        assert process.stdout is not None
        async for line in process.stdout:
            new += not json.loads(line)["from_ledger"]
            if new >= after:
                break
        await asyncio.sleep(dice.random() / 10)
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            process.kill()
        ran = await ended(process)
        if ran.status == KILLED:
            account.kills += 1
            return new
        assert ran.status == 0, ran.errors
        return plan.count  # nothing was left to do


async def to_the_end(url: str, plan: Plan, account: Account, patience: float | None) -> Ran:
    """Run the batch without kills until no item is uncertain; see `prove`."""
    for _ in range(ROUNDS):
        account.runs += 1
        ran = await run(url, plan)
        account.stories.append(f"run {account.runs}: {Counter(ran.wrong.values()) or 'all done'}")
        if ran.status != 0 or not ran.wrong:
            break
        if patience is None:
            plan = attrs.evolve(plan, give_up=True)
            continue
        await asyncio.sleep(patience)
        # One more request of this ledger, sent after all others. Once the history has it, it is up to date.
        last = attrs.evolve(plan, way="map", first=plan.first + plan.count + account.runs, count=1)
        await run(url, last)
    return ran


async def compare(url: str, plan: Plan, ran: Ran, account: Account) -> None:
    """Compare the last run with the ledger and with the jobs on the server."""
    if ran.status != 0:
        account.wrong.append(f"the last run ended with {ran.status}: {ran.errors}")
    async with await Ledger.open(plan.ledger) as ledger:
        entries = [entry async for entry in ledger.entries()]
    jobs = await _jobs(url)
    account.jobs, account.submits = len(jobs), sum(entry.attempts for entry in entries)
    account.resubmitted = sum(entry.attempts > 1 for entry in entries)
    account.wrong += wrong_in_the_books(jobs, entries)
    for number in range(plan.first, plan.first + plan.count):
        item = ran.items.get(number)
        if item is None or item["error"] or item["data"]["n"] != number:
            account.wrong.append(f"no. {number}: {item} in place of its result")
    if plan.download is not None:
        account.wrong += _wrong_files(Path(plan.download), plan)


def _wrong_files(folder: Path, plan: Plan) -> list[str]:
    there = {path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    numbers = range(plan.first, plan.first + plan.count)
    return [f"no. {number}: its file is not there" for number in numbers if picture(number) not in there]


async def _jobs(url: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/_emulator/jobs") as answer:
        jobs: list[dict[str, Any]] = await answer.json()
        return jobs


async def faults_at(url: str, seed: int) -> None:
    """Add the faults of `now_and_then` to the emulator at `url`, with this seed."""
    faults = [fault.to_json() for fault in now_and_then()]
    async with aiohttp.ClientSession() as http:
        for path, body in (("seed", {"seed": seed}), ("faults", faults)):
            async with http.post(f"{url}/_emulator/{path}", json=body) as answer:
                answer.raise_for_status()
