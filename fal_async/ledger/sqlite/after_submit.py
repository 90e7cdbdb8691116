"""Writes after the request id is known: the owner, the outcome, the files. They run in the thread of the file.

See `Store` for each function. `me` is the number of the owner that writes.
"""

from __future__ import annotations

from collections.abc import Collection

from fal_async.ledger.sqlite import rows
from fal_async.ledger.sqlite.alike import store_payloads
from fal_async.ledger.sqlite.claims import add_attempt, delete
from fal_async.ledger.sqlite.reads import Tables, by_number
from fal_async.ledger.store import EntryGone
from fal_async.protocol.ledger.entry import End, Record, StoredFile

AT_ONCE = 500
"""Most entries that one transaction checks for payloads to delete."""


def take(tables: Tables, me: int, entry: int, version: int) -> Record | None:
    record = by_number(tables, entry)
    if record is None or record.version != version or record.state != "submitted":
        return None
    if record.owner_lives and not record.is_owned_by(me):
        return None
    tables.db.execute("UPDATE entries SET owner = ?, version = version + 1 WHERE id = ?", (me, entry))
    return by_number(tables, entry)


def leave(tables: Tables, me: int, entry: int) -> None:
    tables.held.pop(entry, None)
    tables.db.execute(
        "UPDATE entries SET owner = NULL, version = version + 1 WHERE id = ? AND owner = ?", (entry, me)
    )


def leave_all(tables: Tables, me: int) -> None:
    """Release all entries of an owner, and delete the owner unless it still has unresolved claims."""
    for number in [number for number, entry in tables.held.items() if entry.owner == me]:
        del tables.held[number]
    db = tables.db
    db.execute(
        "UPDATE entries SET owner = NULL, version = version + 1 "
        "WHERE owner = ? AND ended_at IS NULL AND state <> 'claimed'",
        (me,),
    )
    db.execute(
        "DELETE FROM owners WHERE id = ? AND NOT EXISTS "
        "(SELECT 1 FROM entries WHERE ended_at IS NULL AND owner = owners.id)",
        (me,),
    )


def clear_owners(tables: Tables) -> None:
    """Delete the owners that no longer run and have no entries without an outcome."""
    idle = tables.db.execute(
        "SELECT id FROM owners WHERE id NOT IN "
        "(SELECT owner FROM entries WHERE ended_at IS NULL AND owner IS NOT NULL)"
    ).fetchall()
    gone = [row for row in idle if not tables.lives(row[0])]
    tables.db.executemany("DELETE FROM owners WHERE id = ?", gone)


def cancel_requested(tables: Tables, entry: int, request_id: str, at: float) -> None:
    tables.held.pop(entry, None)
    changed = tables.db.execute(
        "UPDATE requests SET cancel_requested_at = ? WHERE entry = ? AND request_id = ? "
        "AND cancel_requested_at IS NULL",
        (at, entry, request_id),
    )
    if changed.rowcount:
        tables.db.execute("UPDATE entries SET version = version + 1 WHERE id = ?", (entry,))


def end(tables: Tables, entry: int, request_id: str, end: End) -> Record:
    record = by_number(tables, entry)
    if record is None:
        raise EntryGone(f"entry {entry} of the ledger was deleted", request_id=request_id)
    mine = next((request for request in record.requests if request.request_id == request_id), None)
    if mine is not None and mine.outcome is not None:
        return by_number(tables, entry, payloads=True) or record
    n = add_attempt(tables, record, request_id, end.at) if mine is None else mine.n
    tables.db.execute(
        "UPDATE requests SET ended_at = ?, outcome = ?, final = ?, units = ?, cost = ? WHERE entry = ? AND n = ?",
        (*rows.end_values(end), entry, n),
    )
    has_newer = any(request.n > n for request in record.requests)
    if record.state != "done" and (end.state == "done" or not has_newer):
        _end_entry(tables, entry, end)
    else:
        tables.db.execute("UPDATE entries SET version = version + 1 WHERE id = ?", (entry,))
    ended = by_number(tables, entry, payloads=True)
    assert ended is not None
    return ended


def _end_entry(tables: Tables, entry: int, end: End) -> None:
    tables.db.execute(
        "UPDATE entries SET state = ?, final = ?, owner = NULL, ended_at = ?, headers = ?, expired = 0, "
        "version = version + 1 WHERE id = ?",
        (*rows.entry_end_values(end), entry),
    )
    tables.db.execute("DELETE FROM ends WHERE entry = ?", (entry,))
    store_payloads(tables.db, "ends", [(entry, end.payload)])


def set_files(tables: Tables, entry: int, files: Collection[StoredFile]) -> None:
    known = tables.db.execute("UPDATE entries SET version = version + 1 WHERE id = ?", (entry,))
    if not known.rowcount:
        return  # the entry was deleted
    tables.db.execute("DELETE FROM files WHERE entry = ?", (entry,))
    tables.db.executemany(
        "INSERT INTO files (entry, n, path, size) VALUES (?, ?, ?, ?)",
        [(entry, file.n, file.path, file.size) for file in files],
    )


def forget(tables: Tables, entry: int, version: int) -> bool:
    row = tables.db.execute("SELECT version FROM entries WHERE id = ?", (entry,)).fetchone()
    if row is None or row[0] != version:
        return False
    delete(tables, entry)
    return True


def drop_payloads(tables: Tables, ended_before: float, after: int) -> tuple[int, int | None]:
    """Check AT_ONCE entries. Return how many have lost their payloads, and where to continue, as `reads.page`."""
    looked_at = tables.db.execute(
        "SELECT id, ended_at IS NOT NULL AND ended_at < ? AND NOT expired FROM entries NOT INDEXED "
        "WHERE id > ? ORDER BY id LIMIT ?",
        (ended_before, after, AT_ONCE),
    ).fetchall()
    found = [(number,) for number, is_old in looked_at if is_old]
    for table in ("inputs", "ends"):
        tables.db.executemany(f"DELETE FROM {table} WHERE entry = ?", found)
    tables.db.executemany("UPDATE entries SET expired = 1, version = version + 1 WHERE id = ?", found)
    return len(found), looked_at[-1][0] if len(looked_at) == AT_ONCE else None
