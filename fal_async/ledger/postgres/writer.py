"""The writes of one store, each in a task, so that it is done even if its caller is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from fal_async.errors import FalError
from fal_async.ledger.postgres.database import Database
from fal_async.ledger.postgres.postgres_errors import FAILURES
from fal_async.ledger.postgres.transactions import written
from fal_async.ledger.sql.after_submit import leave_all
from fal_async.ledger.sql.statements import Write

T = TypeVar("T")
_LAST_WRITES = 5.0
"""Seconds that closing waits for writes whose callers have left."""


class Writer:
    """Makes the writes of one owner.

    Attributes:
        number: the number of the owner; None before its first claim, and after it has resigned.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.number: int | None = None
        self._joining = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def joined(self) -> int:
        """Return the number of the owner, which the first call makes."""
        if self.number is None:
            async with self._joining:
                if self.number is None:
                    self.number = await self._database.owners.join()
        return self.number

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do work in a task, for which `finish` waits."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def try_to(self, work: Awaitable[object]) -> None:
        """Do work for which nobody waits. If it fails, the entry stays as it is."""
        self.start(_tried(work))

    async def change(self, entry: int, write: Callable[[int], Write[T]]) -> T:
        """Make a write of an entry; `write` is called with the number of the owner. Cancelling does not stop it."""
        return await asyncio.shield(self.start(self.written(entry, write)))

    async def written(self, entry: int, write: Callable[[int], Write[T]]) -> T:
        """Make a write, as `change`, in the task of the caller."""
        database, me = self._database, self.number or 0
        return await database.run(written(database, lambda: write(me), entry), whole=True)

    async def ended(self) -> None:
        """Wait for all writes."""
        while self._tasks:  # one may start another, such as the withdrawal of a claim
            await asyncio.wait(self._tasks)

    async def finish(self) -> None:
        """Wait for all writes, for a limited time; then release all entries of the owner. It has resigned then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WRITES):
                await self.ended()
        number, self.number = self.number, None
        if number is not None:
            # If it fails, the server releases the lock when the connection is closed.
            with contextlib.suppress(FalError, *FAILURES):
                async with asyncio.timeout(_LAST_WRITES):
                    await self._database.run(written(self._database, lambda: leave_all(number)), whole=True)
                    await self._database.owners.leave(number)


async def _tried(work: Awaitable[object]) -> None:
    with contextlib.suppress(FalError):
        await work
