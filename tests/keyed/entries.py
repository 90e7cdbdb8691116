"""Read the ledger of a test while a session uses it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from fal_async import Session
from fal_async.ledger.opening import open_store
from fal_async.protocol.ledger.entry import Place, Record
from fal_async.protocol.ledger.key_checks import space_of


async def entry_of(
    fal: Session, runs: Path, key: str = "a", *, tenant: str = "", run: str = ""
) -> Record | None:
    """Return the entry that is stored in the file, or None."""
    store = await open_store(runs)
    try:
        return await store.find(Place(space=space_of(fal.settings.hosts, tenant=tenant, run=run), key=key))
    finally:
        await store.aclose()


async def state_of(fal: Session, runs: Path, key: str = "a") -> str | None:
    """Return the state of an entry; None without an entry."""
    record = await entry_of(fal, runs, key)
    return None if record is None else record.state


def age_requests(runs: Path, *, seconds: float) -> None:
    """Move the times of all attempts in a ledger this many seconds into the past."""
    with contextlib.closing(sqlite3.connect(runs)) as db, db:
        db.execute(
            "UPDATE requests SET claimed_at = claimed_at - :s, claimed_until = claimed_until - :s, "
            "submitted_at = submitted_at - :s",
            {"s": seconds},
        )
