"""Opens ledgers on one SQLite file as several processes would, each of which may be killed at any moment."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

from fal_async.ledger.sqlite.group_commit import Operation
from fal_async.ledger.sqlite.open_files import open_files
from fal_async.ledger.sqlite.sqlite_store import SqliteStore
from fal_async.ledger.store import Store

T = TypeVar("T")


class SqliteShelf:
    """Opens stores. Each is a separate owner, as if it belonged to another process.

    Tests that need real processes, because of their locks and open files, are in `test_processes.py`.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="shelf-")
        self._runner = asyncio.Runner()
        self._open: list[SqliteStore] = []

    def open(self) -> Store:
        store = self._runner.run(SqliteStore.open(str(Path(self._folder.name) / "runs.db")))
        self._open.append(store)
        return cast("Store", store)

    def crash(self, store: Store) -> None:
        """Release the lock of its owner without closing it, as the kernel does for a killed process."""
        assert isinstance(store, SqliteStore)
        self._runner.run(_crash(store))
        self._open.remove(store)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def close(self) -> None:
        for store in self._open:
            self._runner.run(store.aclose())
        self._runner.close()
        self._folder.cleanup()


async def _crash(store: SqliteStore) -> None:
    loop = asyncio.get_running_loop()
    gone = Operation(
        work=lambda *_: None,
        writes=False,
        member=store._member,
        resigns=True,
        loop=loop,
        future=loop.create_future(),
    )
    store._file.hand(gone)
    assert gone.future is not None
    await gone.future
    store._is_open = False
    last = Operation(work=lambda *_: None, writes=False, loop=loop, future=loop.create_future())
    if open_files().release(store._file, last):
        assert last.future is not None
        await last.future
