"""Read the ledger of a test while a session uses it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg

from fal_async import Session
from fal_async.ledger.opening import Where, open_store
from fal_async.protocol.ledger.entry import Place, Record
from fal_async.protocol.ledger.key_checks import space_of


async def entry_of(
    fal: Session, runs: Where, key: str = "a", *, tenant: str = "", run: str = ""
) -> Record | None:
    """Return the entry that is stored in the file, or None."""
    store = await open_store(runs)
    try:
        return await store.find(Place(space=space_of(fal.settings.hosts, tenant=tenant, run=run), key=key))
    finally:
        await store.aclose()


async def state_of(fal: Session, runs: Where, key: str = "a") -> str | None:
    """Return the state of an entry; None without an entry."""
    record = await entry_of(fal, runs, key)
    return None if record is None else record.state


async def age_requests(runs: Where, *, seconds: float) -> None:
    """Move the times of all attempts in a ledger this many seconds into the past."""
    columns = ("claimed_at", "claimed_until", "submitted_at")
    older = ", ".join(f"{column} = {column} - {seconds}" for column in columns)
    if is_database(runs):
        await execute(runs, f"UPDATE fal_async.requests SET {older}")
        return
    with contextlib.closing(sqlite3.connect(runs)) as db, db:
        db.execute(f"UPDATE requests SET {older}")


async def entry_of_dead(fal: Session, runs: Where, key: str = "a") -> Record | None:
    """Return the entry of a key whose owner has ended, as it is after the time in which that is certain.

    In a file that is so at once; on PostgreSQL, after its lock was free for some time.
    """
    while (record := await entry_of(fal, runs, key)) is not None and record.owner_lives:
        if is_database(runs):
            await execute(runs, "UPDATE fal_async.owners SET free_since = 1 WHERE free_since IS NOT NULL")
        await asyncio.sleep(0.01)
    return record


def is_database(runs: Where) -> bool:
    return isinstance(runs, str) and runs.startswith("postgresql:")


async def execute(database: Where, sql: str) -> Any:
    """Run a statement on a database, beside the connections of the ledger; return its first value."""
    connection = await asyncpg.connect(str(database))
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def content_of(runs: Where) -> bytes:
    """Return all that a ledger has stored."""
    if not is_database(runs):
        return b"".join(path.read_bytes() for path in Path(runs).parent.iterdir())
    connection = await asyncpg.connect(str(runs))
    try:
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'fal_async'")
        tables = [await connection.fetch(f"SELECT * FROM fal_async.{name}") for (name,) in names]
    finally:
        await connection.close()
    values = [value for table in tables for row in table for value in row]
    return b"".join(value if isinstance(value, bytes) else str(value).encode() for value in values)
