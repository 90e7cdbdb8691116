"""The owners of this event loop: their locks, and the connection that keeps them and is notified of changes.

An owner is known to run by its advisory lock. The lock is free after the connection was lost, and also while the
server restarts. So an owner is dead only after its lock was seen free for as long as its submit may take. The
database notes since when that is (`owners.free_since`), by its own clock. An owner that has lost its connection
takes its lock again, and clears this note, before it makes another claim.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import TypeVar

import asyncpg

from fal_async.errors import ConfigurationError, FalError
from fal_async.ledger.postgres.connection_types import Connection
from fal_async.ledger.postgres.postgres_errors import FAILURES, is_passing, ledger_error
from fal_async.protocol.ledger.entry import Owner

T = TypeVar("T")
LOCK_CLASS = 0x66616C31
"""The first number of each advisory lock; the second is the number of the owner."""
CHANNEL = "fal_async"
"""The channel of NOTIFY. What is sent is the number of an entry."""
_LOCKS = (
    "SELECT objid::integer FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted "
    f"AND classid = {LOCK_CLASS} AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_BUSY = "SELECT owner FROM entries WHERE ended_at IS NULL AND owner IS NOT NULL"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_BEAT = 15.0
"""Seconds between two checks that the server still responds."""
_TRIES = 5
"""How many connections a use of the connection is tried on."""
_TO_JOIN = 10.0
"""Seconds that a claim waits for the lock of its owner."""


class Owners:
    """The owners of one event loop and the connection with their locks, which is opened when it is needed.

    Attributes:
        mine: the owners, by number.
    """

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]], name: str) -> None:
        self.mine: dict[int, Owner] = {}
        self._connect, self._name = connect, name
        self._connection: asyncpg.Connection | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._ready, self._lost = asyncio.Event(), asyncio.Event()
        self._turn = asyncio.Lock()
        """Held during each use of the connection, which can do one thing at a time."""
        self._failure: FalError | None = None
        self._watched: dict[int, set[asyncio.Event]] = {}

    # The connection.

    async def listen(self) -> None:
        """Wait until there is a connection. From then on, notifications arrive. Raises as `_connected`."""
        await self._connected()

    async def _use(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Use the connection, and the next one if it is lost. `work` must be harmless if it is done twice.

        Raises as `_connected`.
        """
        error: Exception = TimeoutError()
        for _ in range(_TRIES):
            connection = await self._connected()
            try:
                async with self._turn:
                    return await work(connection)
            except FAILURES as broken:
                error = broken
                if not is_passing(broken):
                    break
                self._lost.set()
                self._ready.clear()
        raise ledger_error(error, self._name) from error

    async def _connected(self) -> asyncpg.Connection:
        """Return the connection, once it has all locks.

        Raises LedgerError if that takes too long, ConfigurationError if it is not possible.
        """
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep())
        if not self._ready.is_set():
            waiting = asyncio.ensure_future(self._ready.wait())
            try:
                await asyncio.wait([waiting, self._keeping], timeout=_TO_JOIN, return_when="FIRST_COMPLETED")
            finally:
                waiting.cancel()
        if self._connection is None or not self._ready.is_set():
            raise ledger_error(self._failure or TimeoutError(), self._name)
        return self._connection

    async def _keep(self) -> None:
        """Keep the connection and its locks until the database is closed, or until only the user can help."""
        pause = _FIRST_PAUSE
        while True:
            self._lost.clear()
            try:
                await self._join_again()
                pause = _FIRST_PAUSE
                await self._until_lost()
            except Exception as error:
                self._failure = ledger_error(error, self._name)
                if isinstance(self._failure, ConfigurationError):
                    return  # trying again is of no use; the next call begins anew
            finally:
                self._ready.clear()
                self._drop()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _join_again(self) -> None:
        """Connect, take the locks of all owners, and tell the database that they run."""
        connection = self._connection = await self._connect()
        connection.add_termination_listener(lambda _: self._lost.set())
        await connection.add_listener(CHANNEL, self._notified)
        for owner in tuple(self.mine.values()):
            await _renew(connection, owner)
        self._ready.set()
        for events in self._watched.values():  # a notification may have been missed
            for event in events:
                event.set()

    async def _until_lost(self) -> None:
        assert self._connection is not None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_BEAT):
                    await self._lost.wait()
                return
            async with self._turn:
                await self._connection.execute("SELECT 1", timeout=_BEAT)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            connection.terminate()

    def terminate(self) -> None:
        """Close the connection at once. The server releases the locks."""
        self._lost.set()
        if self._keeping is not None:
            self._keeping.cancel()
        self._drop()

    async def aclose(self) -> None:
        """Close the connection."""
        keeping, connection = self._keeping, self._connection
        if connection is not None and not connection.is_closed():
            with contextlib.suppress(*FAILURES):
                await connection.close(timeout=2.0)
        self.terminate()
        if keeping is not None:
            await asyncio.wait([keeping])

    # Joining and leaving.

    async def join(self) -> int:
        """Become an owner, and return its number. Raises as `_connected`."""
        number: int = await self._use(
            lambda given: given.fetchval("SELECT nextval('owner_numbers')::integer")
        )
        owner = Owner(number=number, host=socket.gethostname(), pid=os.getpid(), since=time.time())
        self.mine[number] = owner  # before the lock, so that a new connection takes it, too
        await self.renew(number)
        return number

    async def renew(self, number: int) -> None:
        """Take the lock if this connection lacks it, and store that the owner runs. Raises as `_connected`."""
        await self._use(lambda given: _renew(given, self.mine[number]))

    async def leave(self, number: int) -> None:
        """Stop being this owner. It never sends anything again, so that it is dead at once."""
        self.mine.pop(number, None)
        if self._connection is not None:
            async with self._turn:
                await self._connection.execute("UPDATE owners SET free_since = 0 WHERE id = $1", number)
                await self._connection.execute("SELECT pg_advisory_unlock($1, $2)", LOCK_CLASS, number)

    # Notifications.

    @contextlib.contextmanager
    def watching(self, entry: int) -> Iterator[asyncio.Event]:
        """Yield an event that is set when the entry changes, if it is awaited."""
        event = asyncio.Event()
        self._watched.setdefault(entry, set()).add(event)
        try:
            yield event
        finally:
            events = self._watched[entry]
            events.discard(event)
            if not events:
                del self._watched[entry]

    def _notified(self, *given: object) -> None:
        number = given[-1]
        if isinstance(number, str) and number.isdecimal():
            for event in self._watched.get(int(number), ()):
                event.set()


async def _renew(connection: asyncpg.Connection, owner: Owner) -> None:
    """Take the lock of an owner if this connection lacks it, and store that the owner runs."""
    if not await connection.fetchval(f"SELECT $1 IN ({_LOCKS} AND pid = pg_backend_pid())", owner.number):
        await _locked(connection, owner.number)
    await connection.execute(
        "INSERT INTO owners (id, host, pid, since) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (id) DO UPDATE SET free_since = NULL",
        *(owner.number, owner.host, owner.pid, owner.since),
    )


async def _locked(connection: Connection, number: int) -> None:
    """Take the lock of an owner. Another session has it only if it is an earlier one of this process.

    The server has not noticed yet that this session is lost. Until then the owner is known to run.
    """
    pause = _FIRST_PAUSE
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", LOCK_CLASS, number):
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


# Other owners.


async def seconds_free(connection: Connection, numbers: Collection[int]) -> Mapping[int, float]:
    """Return for how many seconds the lock of each owner is known to be free; 0 if it is taken.

    An owner that is not in the database is dead: it has no value. If a lock is seen free for the first time, that
    is noted.
    """
    found = await connection.fetch(
        "SELECT id, free_since, extract(epoch FROM clock_timestamp())::double precision AS now, "
        f"id IN ({_LOCKS}) AS runs FROM owners WHERE id = ANY($1)",
        numbers,
    )
    unseen = [row["id"] for row in found if not row["runs"] and row["free_since"] is None]
    if unseen:
        await _note(connection, unseen)
    return {
        row["id"]: 0.0
        if row["runs"] or row["free_since"] is None
        else max(row["now"] - row["free_since"], 0.0)
        for row in found
    }


async def in_doubt(connection: Connection, numbers: Collection[int], patience: float) -> float:
    """Return the seconds until each of these owners either runs, or has had a free lock for `patience` seconds."""
    await seconds_free(connection, numbers)  # notes the locks that are free
    seconds: float = await connection.fetchval(
        "SELECT coalesce(max($2 - (extract(epoch FROM clock_timestamp()) - free_since)), 0)::double precision "
        f"FROM owners WHERE id = ANY($1) AND free_since IS NOT NULL AND id NOT IN ({_LOCKS})",
        *(numbers, patience),
    )
    return max(seconds, 0.0)


async def _note(connection: Connection, numbers: Collection[int]) -> None:
    """Note that these locks are free now, unless they were taken meanwhile."""
    async with connection.transaction():
        # An owner takes its lock first, and then writes to its row. So either the lock is seen below, or the owner
        # removes this note.
        await connection.execute("SELECT 1 FROM owners WHERE id = ANY($1) ORDER BY id FOR UPDATE", numbers)
        await connection.execute(
            "UPDATE owners SET free_since = extract(epoch FROM clock_timestamp()) "
            f"WHERE id = ANY($1) AND free_since IS NULL AND id NOT IN ({_LOCKS})",
            numbers,
        )


async def clear(connection: Connection) -> None:
    """Delete the owners that have not run for a day, and have no entries without an outcome."""
    idle = await connection.fetch(
        f"SELECT id FROM owners WHERE free_since IS NULL AND id NOT IN ({_LOCKS}) AND id NOT IN ({_BUSY})"
    )
    if idle:
        await _note(connection, [row["id"] for row in idle])
    await connection.execute(
        "DELETE FROM owners WHERE free_since < extract(epoch FROM clock_timestamp()) - 86400 "
        f"AND id NOT IN ({_LOCKS}) AND id NOT IN ({_BUSY})"
    )
