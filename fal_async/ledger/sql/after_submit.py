"""Writes after the request id is known: the owner, the outcome, the files.

See `Store` for each function. `me` is the number of the owner that writes.
"""

from __future__ import annotations

from collections.abc import Collection

from fal_async.ledger.sql import rows
from fal_async.ledger.sql.claims import add_attempt, delete, fall_back, touch
from fal_async.ledger.sql.statements import Write, after, change, find
from fal_async.ledger.store import EntryGone
from fal_async.protocol.ledger.entry import UNDER_WAY, End, Record, StoredFile


def take(me: int, entry: int, version: int) -> Write[Record | None]:
    record = yield from find(entry)
    if record is None or record.version != version or record.state != "submitted":
        return None
    if record.owner_lives and not record.is_owned_by(me):
        return None
    yield from change("UPDATE entries SET owner = ?, version = version + 1 WHERE id = ?", me, entry)
    return (yield from after(entry))


def leave(me: int, entry: int) -> Write[None]:
    yield from change(
        "UPDATE entries SET owner = NULL, version = version + 1 WHERE id = ? AND owner = ?", entry, me
    )


def leave_all(me: int) -> Write[None]:
    """Release all entries of an owner, and delete the owner unless it still has unresolved claims."""
    yield from change(
        "UPDATE entries SET owner = NULL, version = version + 1 "
        "WHERE owner = ? AND ended_at IS NULL AND state <> 'claimed'",
        me,
    )
    yield from change(
        "DELETE FROM owners WHERE id = ? AND NOT EXISTS "
        "(SELECT 1 FROM entries WHERE ended_at IS NULL AND owner = owners.id)",
        me,
    )


def cancel_requested(entry: int, request_id: str, at: float) -> Write[None]:
    changed = yield from change(
        "UPDATE requests SET cancel_requested_at = ? WHERE entry = ? AND request_id = ? "
        "AND cancel_requested_at IS NULL",
        *(at, entry, request_id),
    )
    if changed:
        yield from touch(entry)


def end(entry: int, request_id: str, end: End) -> Write[Record]:
    record = yield from find(entry)
    if record is None:
        raise EntryGone(f"entry {entry} of the ledger was deleted", request_id=request_id)
    mine = record.attempt_of(request_id)
    if mine is not None and mine.outcome is not None:
        return (yield from after(entry)) or record
    n = mine.n if mine is not None else (yield from add_attempt(record, request_id, end.at))
    yield from change(
        "UPDATE requests SET ended_at = ?, outcome = ?, final = ?, units = ?, cost = ? WHERE entry = ? AND n = ?",
        *(*rows.end_values(end), entry, n),
    )
    others = [request for request in record.requests if request.n != n]
    has_newer = any(request.n > n for request in others)
    if record.state != "done" and (end.state == "done" or not has_newer):
        yield from _end_entry(entry, end)
    elif record.state in UNDER_WAY and all(request.outcome is not None for request in others):
        yield from fall_back(record, n, end.at)  # to the newer attempt, whose outcome is stored
    else:
        yield from touch(entry)
    return (yield from after(entry)) or record


def _end_entry(entry: int, end: End) -> Write[None]:
    yield from change(
        "UPDATE entries SET state = ?, final = ?, owner = NULL, ended_at = ?, headers = ?, expired = 0, "
        "version = version + 1 WHERE id = ?",
        *(*rows.entry_end_values(end), entry),
    )
    yield from change("DELETE FROM ends WHERE entry = ?", entry)
    if end.payload is not None:
        yield from change(
            "INSERT INTO ends (entry, type, packed, body) VALUES (?, ?, ?, ?)",
            entry,
            *rows.packed(end.payload),
        )


def set_files(entry: int, files: Collection[StoredFile]) -> Write[None]:
    if not (yield from touch(entry)):
        return  # the entry was deleted
    yield from change("DELETE FROM files WHERE entry = ?", entry)
    for file in files:
        yield from change(
            "INSERT INTO files (entry, n, path, size) VALUES (?, ?, ?, ?)",
            entry,
            file.n,
            file.path,
            file.size,
        )


def forget(entry: int, version: int) -> Write[bool]:
    record = yield from find(entry)
    if record is None or record.version != version:
        return False
    yield from delete(entry)
    return True
