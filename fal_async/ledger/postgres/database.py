"""The connections of one event loop to one database, shared by all stores that are open in it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import weakref
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TypeVar

import asyncpg

from fal_async.errors import ConfigurationError, SessionStateError
from fal_async.ledger.postgres.connection_types import Connection
from fal_async.ledger.postgres.owners import Owners
from fal_async.ledger.postgres.postgres_address import Address
from fal_async.ledger.postgres.postgres_errors import FAILURES, is_passing, ledger_error
from fal_async.ledger.postgres.postgres_schema import SCHEMA, prepare
from fal_async.protocol.ledger.entry import Space

T = TypeVar("T")
PATIENCE = 10.0
"""Seconds for which an operation is repeated while the server can't be reached, such as during its restart."""
_PER_STATEMENT = 30.0
_TO_CONNECT = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_SETTINGS = {"search_path": SCHEMA, "synchronous_commit": "on"}
_STARTUP_SETTINGS = {
    **_SETTINGS,
    "application_name": "fal_async",
    "jit": "off",
    # So that the server notices soon that a machine is gone, and releases its locks.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "60000",  # keepalives are not sent while a notification to that machine is unacknowledged
}


class Database:
    """The pool of connections, and the connection that has the locks of the owners.

    Attributes:
        address: where the database is.
        users: how many stores use it.
        owners: the owners of this event loop, with their locks.
        spaces: the numbers of namespaces and of their origins that are known to be stored.
    """

    def __init__(self, address: Address, *, patience: float = PATIENCE) -> None:
        """`patience`: seconds for which an operation is repeated while the server can't be reached."""
        self._patience = patience
        self.address: Address = address
        self.users: int = 0
        self.owners: Owners = Owners(self._connect_directly, address.name)
        self.spaces: dict[Space, tuple[int, int]] = {}
        self._pool: asyncpg.Pool | None = None
        self._opening, self._closing = asyncio.Lock(), asyncio.Event()
        self._process = os.getpid()
        self._loop = asyncio.get_running_loop()

    async def open(self) -> None:
        """Connect, and make the tables of a new ledger. It does nothing if it is open.

        It is tried again while the server can't be reached, as in `run`, because it may be starting. Raises
        ConfigurationError if the address or the database can't be used, LedgerError if it can't be reached.
        """
        async with self._opening:
            if self._pool is None:
                self._pool = await self._repeated(self._opened)

    async def _opened(self) -> asyncpg.Pool[asyncpg.Record]:
        pool = await self._new_pool()
        try:
            async with pool.acquire() as connection:
                await self._work(connection, lambda given: prepare(given, self.address.name))
        except BaseException:
            pool.terminate()
            raise
        return pool

    def _new_pool(self) -> asyncpg.Pool:
        is_pooled = self.address.direct is not None
        return asyncpg.create_pool(
            self.address.url,
            min_size=0,  # else the driver logs each try to connect again
            max_size=self.address.pool_size,
            init=self._check,
            reset=_nothing,  # no operation changes the state of its connection
            timeout=_TO_CONNECT,
            command_timeout=_PER_STATEMENT,
            # A pooler may give each transaction another connection, which does not know prepared statements.
            statement_cache_size=0 if is_pooled else 100,
            server_settings={} if is_pooled else _STARTUP_SETTINGS,
        )

    async def _check(self, connection: Connection) -> None:
        """Raise ConfigurationError if a pooler is between this process and the server, and `direct` is missing."""
        if self.address.direct is None:
            await self._check_direct(connection)

    async def _check_direct(self, connection: Connection) -> None:
        if await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid():
            raise ConfigurationError(
                f"ledger {self.address.name}: set the option direct= of its URL to the URL of the server itself: a "
                "pooler such as PgBouncer is in between, which can't keep locks"
            )

    async def _connect_directly(self) -> asyncpg.Connection:
        """Open a connection to the server itself, which keeps locks and is notified."""
        connection = await asyncpg.connect(
            self.address.direct or self.address.url,
            timeout=_TO_CONNECT,
            command_timeout=_PER_STATEMENT,
            server_settings=_STARTUP_SETTINGS,
        )
        try:
            await self._check_direct(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    # Operations.

    async def run(self, work: Callable[[Connection], Awaitable[T]], *, whole: bool = False) -> T:
        """Run one operation, again if the connection is lost. `whole`: in one transaction.

        An operation that is repeated may have been done already: each must be harmless if it is done twice.

        Raises LedgerError, ConfigurationError, or a FalError of `work`.
        """
        return await self._repeated(lambda: self._once(work, whole))

    async def _repeated(self, attempt: Callable[[], Awaitable[T]]) -> T:
        until, pause = self._loop.time() + self._patience, _FIRST_PAUSE
        while True:
            try:
                return await attempt()
            except (*FAILURES, ValueError) as error:
                self.spaces.clear()  # one of them may have been rolled back
                if not is_passing(error) or self._loop.time() >= until:
                    raise ledger_error(error, self.address.name) from error
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._closing.wait()
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _once(self, work: Callable[[Connection], Awaitable[T]], whole: bool) -> T:
        if self._pool is None:
            raise SessionStateError(f"the ledger {self.address.name} is closed: open it again")
        async with self._pool.acquire(timeout=_PER_STATEMENT) as connection:
            try:
                return await self._work(connection, work, whole=whole)
            except asyncpg.InternalClientError:
                connection.terminate()  # it is of no use any more
                raise

    async def _work(
        self,
        connection: Connection,
        work: Callable[[Connection], Awaitable[T]],
        *,
        whole: bool = False,
    ) -> T:
        is_pooled = self.address.direct is not None
        if not (whole or is_pooled):
            return await work(connection)
        async with connection.transaction():
            if is_pooled:
                await connection.execute(
                    "; ".join(f"SET LOCAL {name} = {to}" for name, to in _SETTINGS.items())
                )
            return await work(connection)

    # Closing.

    def check_usable(self) -> None:
        """Raise SessionStateError in a forked child, and in another event loop."""
        if os.getpid() != self._process:
            raise SessionStateError(
                f"this process was forked from one that has the ledger {self.address.name} open: open the ledger "
                "after the fork"
            )
        if asyncio.get_running_loop() is not self._loop:
            raise SessionStateError(
                f"the ledger {self.address.name} was opened in another event loop: open it in this one"
            )

    async def aclose(self) -> None:
        """Close all connections."""
        pool, self._pool = self._pool, None
        self._closing.set()
        await self.owners.aclose()
        if pool is not None:
            try:
                async with asyncio.timeout(_TO_CONNECT):
                    await pool.close()
            except FAILURES:
                pool.terminate()

    def terminate(self) -> None:
        """Close all connections at once, from any thread. The server then releases the locks."""
        if os.getpid() != self._process or self._loop.is_closed():
            return
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(self._terminate)

    def abandon(self, number: int) -> None:
        """Stop being this owner, without waiting, from any thread."""
        if not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(lambda: self._loop.create_task(self._abandoned(number)))

    async def _abandoned(self, number: int) -> None:
        # If the connection is lost, so is the lock.
        with contextlib.suppress(*FAILURES):
            await self.owners.leave(number)

    def _terminate(self) -> None:
        pool, self._pool = self._pool, None
        self._closing.set()
        self.owners.terminate()
        if pool is not None:
            pool.terminate()


async def _nothing(_: Connection) -> None:
    """Leave a connection as it is."""


@cache
def _databases() -> weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Address, Database]]:
    """The open databases of each event loop. A forked child has another event loop, and so none of them."""
    return weakref.WeakKeyDictionary()


async def acquire(address: Address) -> Database:
    """Return the database of the running event loop, opened if necessary; call `release` once for it.

    Raises as `Database.open`.
    """
    known = _databases().setdefault(asyncio.get_running_loop(), {})
    database = known.get(address)
    if database is None:
        database = known[address] = Database(address)
    database.users += 1
    try:
        await database.open()
    except BaseException:
        if left_by_last(database):
            await database.aclose()
        raise
    return database


def left_by_last(database: Database) -> bool:
    """End one use of the database, and return whether it was the last one. The caller closes it then."""
    database.users -= 1
    if database.users:
        return False
    for known in list(_databases().values()):
        if known.get(database.address) is database:
            del known[database.address]
    return True
