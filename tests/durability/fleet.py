"""Several processes make the same calls on one PostgreSQL ledger. Some are killed, and the database restarts.

Each process makes all calls, in its own order, as an engine does that may run each of its tasks several times.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from typing import Any

import attrs

from tests.durability.client import Plan
from tests.durability.client_process import KILLED, ended, started
from tests.durability.random_kills import Account, compare, to_the_end
from tests.keyed.entries import execute
from tests.testbed.postgres import Cluster

Event = Callable[[], Coroutine[Any, Any, None]]


@attrs.define(kw_only=True)
class Fleet:
    """The processes, and what happens to them.

    Attributes:
        url: that of the emulator.
        plan: the calls of each process; its ledger is in `server`.
        workers: number of processes.
        kills: number of SIGKILLs. A killed process is started again.
        restarts: number of crashes of the ledger's server.
        hurries: whether a killed process is regarded as dead at once, and not after the time that its submits may
            take.
    """

    url: str
    plan: Plan
    server: Cluster
    dice: random.Random
    workers: int = 4
    kills: int = 2
    restarts: int = 1
    hurries: bool = False
    account: Account = attrs.field(init=False)
    _running: dict[int, asyncio.subprocess.Process] = attrs.field(factory=dict)
    _coming: deque[tuple[int, Event]] = attrs.field(factory=deque)
    """The events, each with the number of answers after which it happens."""
    _errors: Counter[str] = attrs.field(factory=Counter)
    _given: Counter[int] = attrs.field(factory=Counter)
    """The number of answers of each process."""
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    """Held during an event, so that there is one at a time."""

    async def prove(self, patience: float | None) -> Account:
        """Make the calls in all processes, then once more in one, and compare the account; see `random_kills`."""
        self.account = Account(items=self.plan.count)
        events: list[Event] = [self._kill] * self.kills + [self._restart] * self.restarts
        self.dice.shuffle(events)
        most = self.plan.count * self.workers // 2
        self._coming.extend(
            zip(sorted(self.dice.choices(range(1, most), k=len(events))), events, strict=True)
        )
        async with asyncio.TaskGroup() as group:
            for number in range(self.workers):
                group.create_task(self._work(attrs.evolve(self.plan, shuffle=number)))
        assert not self._coming
        self.account.stories.append(f"{self._given.total()} answers, among them errors: {dict(self._errors)}")
        ran = await to_the_end(self.url, self.plan, self.account, patience)
        await compare(self.url, self.plan, ran, self.account)
        return self.account

    async def _work(self, plan: Plan) -> None:
        """Run one process, again if it was killed."""
        assert plan.shuffle is not None
        while True:
            self.account.runs += 1
            async with started(self.url, plan) as process:
                self._running[plan.shuffle] = process
                assert process.stdout is not None
                async for line in process.stdout:
                    if line.endswith(b"\n"):
                        await self._answered(plan.shuffle, json.loads(line)["error"])
                ran = await ended(process)
                self._running.pop(plan.shuffle, None)
            if ran.status != KILLED:
                assert ran.status == 0, ran.errors
                return
            self.account.kills += 1

    async def _answered(self, number: int, error: str | None) -> None:
        self._given[number] += 1
        if error is not None:
            self._errors[error] += 1
        if self._coming and self._given.total() >= self._coming[0][0]:
            _, event = self._coming.popleft()
            async with self._turn:
                await event()

    async def _kill(self) -> None:
        """Kill the process that has most calls left."""
        # Answers of a process that has ended may still be unread.
        alive = [number for number, process in self._running.items() if process.returncode is None]
        # The next event must not find it again, while its last answers are read.
        process = self._running.pop(min(alive, key=lambda number: self._given[number]))
        process.kill()
        if self.hurries:
            await process.wait()
            await self._regard_as_dead(process.pid)

    async def _regard_as_dead(self, pid: int) -> None:
        locked = (
            "SELECT count(*) FROM pg_locks JOIN fal_async.owners ON objid = id WHERE locktype = 'advisory'"
        )
        while await execute(self.plan.ledger, f"{locked} AND owners.pid = {pid}"):
            await asyncio.sleep(0.01)
        await execute(self.plan.ledger, f"UPDATE fal_async.owners SET free_since = 1 WHERE pid = {pid}")

    async def _restart(self) -> None:
        await asyncio.to_thread(self.server.restart, "immediate")
