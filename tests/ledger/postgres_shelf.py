"""Opens ledgers on one PostgreSQL database as several processes would. Each may be killed at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

import asyncpg

from fal_async.ledger.postgres.database import Database
from fal_async.ledger.postgres.postgres_address import address_of
from fal_async.ledger.postgres.postgres_store import PostgresStore
from fal_async.ledger.store import Store

T = TypeVar("T")


class PostgresShelf:
    """Opens stores. Each is a separate owner with its own connections, as if it belonged to another process."""

    def __init__(self, url: str) -> None:
        """Take an existing database, and delete what earlier shelves have left in it."""
        self._url = url
        self._runner = asyncio.Runner()
        self._open: list[PostgresStore] = []
        self._outside: asyncpg.Connection[asyncpg.Record] = self.run(asyncpg.connect(address_of(url).url))
        if self.run(self._outside.fetchval("SELECT to_regclass('fal_async.meta') IS NOT NULL")):
            names = "origins, spaces, owners, entries, requests, inputs, ends, files"
            tables = ", ".join(f"fal_async.{name}" for name in names.split(", "))
            self.run(self._outside.execute(f"TRUNCATE {tables} RESTART IDENTITY"))

    def open(self) -> Store:
        store = self.run(self._opened())
        self._open.append(store)
        return cast("Store", store)

    async def _opened(self) -> PostgresStore:
        database = Database(address_of(self._url))
        database.users = 1
        await database.open()
        return PostgresStore(database, None, True)

    def crash(self, store: Store) -> None:
        """Release the lock of its owner, and let the time pass after which other processes regard it as dead.

        The store can still be used, as that of a process that has only lost its connection.
        """
        assert isinstance(store, PostgresStore)
        self.run(self._crashed(store))

    async def _crashed(self, store: PostgresStore) -> None:
        await store._database.owners.aclose()
        number = store._writer.number
        while number is not None and await self._outside.fetchval(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = $1", number
        ):
            await asyncio.sleep(0)
        await self._outside.execute("UPDATE fal_async.owners SET free_since = 1 WHERE id = $1", number)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def close(self) -> None:
        for store in self._open:
            self.run(store.aclose())
        self.run(self._outside.close())
        self._runner.close()
