"""Writes until the request id of a submit is known. They run in the thread of the file.

A claim is the note, written before a submit is sent, that an owner (a process) is about to send it. See `Store` for
each function. `me` is the number of the owner that writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from fal_async.ledger.sqlite.alike import flat, store_payloads, values_of
from fal_async.ledger.sqlite.reads import Tables, by_number
from fal_async.ledger.store import EntryGone, Hold, NewClaim
from fal_async.protocol.ledger.entry import LedgerRequest, Record, Space, State

FIRST_VERSION = 1
"""The version of a new entry, after its claim."""


def claim(tables: Tables, me: int, new: NewClaim) -> Hold | None:
    if new.seen is not None:
        return _further(tables, me, new)
    holds = first_claims(tables, [(me, new)])
    return None if holds is None else holds[0]


@cache
def _inserts(count: int) -> tuple[str, str]:
    return (
        "INSERT OR IGNORE INTO entries "
        "(version, state, attempts, space, key, endpoint_id, input_digest, owner, claimed_at) "
        + values_of(count, f"{FIRST_VERSION}, 'claimed', 1, ?, ?, ?, ?, ?, ?"),
        "INSERT INTO requests (entry, n, origin, body_digest, claimed_at, claimed_until) "
        + values_of(count, "?, ?, ?, ?, ?, ?"),
    )


def first_claims(tables: Tables, new: Sequence[tuple[int, NewClaim]]) -> list[Hold] | None:
    """Insert new entries, each with the number of its owner.

    Returns None if one of them exists already. If there are several, some may be written then, and the caller must
    roll back.
    """
    spaces = [ensured(tables, claim.place.space) for _, claim in new]
    of_entries, of_requests = _inserts(len(new))
    made = tables.db.execute(
        of_entries,
        flat(
            (space, claim.place.key, claim.endpoint_id, claim.input_digest, me, claim.claimed_at)
            for (me, claim), (space, _) in zip(new, spaces, strict=True)
        ),
    )
    if made.rowcount != len(new) or made.lastrowid is None:
        return None
    first = made.lastrowid - len(new) + 1  # the rows of one statement have consecutive numbers
    numbered = list(enumerate(new, first))
    tables.db.execute(
        of_requests,
        flat(
            _request(entry, 1, origin, claim)
            for (entry, (_, claim)), (_, origin) in zip(numbered, spaces, strict=True)
        ),
    )
    store_payloads(tables.db, "inputs", [(entry, claim.input) for entry, (_, claim) in numbered])
    return [Hold(entry=entry, attempt=1) for entry, _ in numbered]


def _request(entry: int, n: int, origin: int, claim: NewClaim) -> tuple[Any, ...]:
    return entry, n, origin, claim.body_digest, claim.claimed_at, claim.claimed_until


def _further(tables: Tables, me: int, new: NewClaim) -> Hold | None:
    """Claim a further attempt of an entry. None if its version is not `seen`."""
    space, origin = ensured(tables, new.place.space)
    found = tables.db.execute(
        "SELECT id, attempts FROM entries WHERE space = ? AND key = ? AND version = ?",
        (space, new.place.key, new.seen),
    ).fetchone()
    if found is None:
        return None
    hold = Hold(entry=found[0], attempt=found[1] + 1)
    tables.db.execute(
        "UPDATE entries SET state = 'claimed', final = 0, attempts = ?, owner = ?, claimed_at = ?, "
        "submitted_at = NULL, ended_at = NULL, version = version + 1 WHERE id = ?",
        (hold.attempt, me, new.claimed_at, hold.entry),
    )
    _, of_request = _inserts(1)
    tables.db.execute(of_request, _request(hold.entry, hold.attempt, origin, new))
    return hold


def ensured(tables: Tables, space: Space) -> tuple[int, int]:
    """Return the numbers of a namespace and of its origin; insert them if they are new."""
    known = tables.space(space)
    if known is not None:
        return known
    db = tables.db
    db.execute("INSERT OR IGNORE INTO origins (url) VALUES (?)", (space.origin,))
    db.execute(
        "INSERT INTO spaces (origin, tenant, run) SELECT id, ?, ? FROM origins WHERE url = ?",
        (space.tenant, space.run, space.origin),
    )
    made = tables.space(space)
    assert made is not None
    return made


def withdraw(tables: Tables, me: int, hold: Hold) -> None:
    tables.held.pop(hold.entry, None)
    record = by_number(tables, hold.entry)
    if record is not None and _is_claim_of_another(record, me, hold):
        return  # it was withdrawn before, and another owner has claimed the attempt with this number since
    removed = tables.db.execute(
        "DELETE FROM requests WHERE entry = ? AND n = ? AND request_id IS NULL", (hold.entry, hold.attempt)
    )
    if record is None or not removed.rowcount or not _is_claim_of(record, me, hold):
        return  # the claim was resolved before, in another way
    if hold.attempt == 1:
        delete(tables, hold.entry)
        return
    tables.db.execute("UPDATE entries SET attempts = attempts - 1 WHERE id = ?", (hold.entry,))
    _fall_back(tables, record, hold.attempt, record.claimed_at)


def _is_claim_of(record: Record, me: int, hold: Hold) -> bool:
    if record.attempts != hold.attempt:
        return False
    return record.state == "uncertain" or (record.state == "claimed" and record.is_owned_by(me))


def _is_claim_of_another(record: Record, me: int, hold: Hold) -> bool:
    return record.attempts == hold.attempt and record.owner is not None and not record.is_owned_by(me)


def _fall_back(tables: Tables, record: Record, without: int, at: float) -> None:
    """Set the entry to the state of its other attempts.

    If there are none, it is "cancelled": the next call submits.
    """
    left = [request for request in record.requests if request.n != without]
    decides = next((request for request in left if request.outcome == "done"), left[-1] if left else None)
    if decides is None:
        values: tuple[Any, ...] = ("cancelled", record.claimed_at, None, at)
    else:
        values = (_state_by(decides), decides.claimed_at, decides.submitted_at, decides.ended_at)
    tables.db.execute(
        "UPDATE entries SET state = ?, claimed_at = ?, submitted_at = ?, ended_at = ?, owner = NULL, "
        "final = coalesce((SELECT final FROM requests WHERE entry = id AND n = ?), 0), version = version + 1 "
        "WHERE id = ?",
        (*values, decides.n if decides else 0, record.number),
    )


def _state_by(request: LedgerRequest) -> State:
    if request.request_id is None:
        return "uncertain"
    if request.outcome is None:
        return "submitted"
    return "failed" if request.outcome == "expired" else request.outcome


def delete(tables: Tables, entry: int) -> None:
    """Delete the entry, and all that belongs to it."""
    for table in ("requests", "inputs", "ends", "files"):
        tables.db.execute(f"DELETE FROM {table} WHERE entry = ?", (entry,))
    tables.db.execute("DELETE FROM entries WHERE id = ?", (entry,))


def submitted(tables: Tables, me: int, hold: Hold, request_id: str, at: float) -> Record:
    record = _existing(tables, hold.entry)
    _let_go(tables, record, request_id)
    if all(request.request_id != request_id for request in record.requests):
        _store_id(tables, record, hold, request_id, at)
    newest = max((request.n for request in record.requests), default=0)
    fits = record.is_owned_by(me) and newest <= hold.attempt
    if fits or not (
        record.state == "done" or (record.state in ("claimed", "submitted") and record.owner_lives)
    ):
        tables.db.execute(
            "UPDATE entries SET state = 'submitted', final = 0, owner = ?, submitted_at = ?, ended_at = NULL, "
            "version = version + 1 WHERE id = ?",
            (me, at, hold.entry),
        )
    else:
        tables.db.execute("UPDATE entries SET version = version + 1 WHERE id = ?", (hold.entry,))
    return _existing(tables, hold.entry)


def _existing(tables: Tables, entry: int) -> Record:
    """Return the entry; raise EntryGone if it was deleted."""
    record = by_number(tables, entry)
    if record is None:
        raise EntryGone(f"entry {entry} of the ledger was deleted")
    return record


def _store_id(tables: Tables, record: Record, hold: Hold, request_id: str, at: float) -> None:
    """Store the id with the claimed attempt; if that has another id or was deleted, add an attempt with this id."""
    mine = next((request for request in record.requests if request.n == hold.attempt), None)
    if mine is not None and mine.request_id is None:
        tables.db.execute(
            "UPDATE requests SET request_id = ?, submitted_at = ? WHERE entry = ? AND n = ?",
            (request_id, at, hold.entry, hold.attempt),
        )
        return
    add_attempt(tables, record, request_id, at, mine)


def add_attempt(
    tables: Tables, record: Record, request_id: str, at: float, like: LedgerRequest | None = None
) -> int:
    """Add an attempt for a request whose id the entry does not have yet; return the number of the attempt.

    `like`: the attempt whose digest and times are copied; None (the default): the times are `at`.
    """
    n = record.attempts + 1
    tables.db.execute(
        "INSERT INTO requests (entry, n, origin, body_digest, request_id, claimed_at, claimed_until, submitted_at) "
        "SELECT ?, ?, s.origin, ?, ?, ?, ?, ? FROM entries e JOIN spaces s ON s.id = e.space WHERE e.id = ?",
        (
            *(record.number, n, like.body_digest if like else None, request_id),
            *(like.claimed_at if like else at, like.claimed_until if like else at, at, record.number),
        ),
    )
    tables.db.execute("UPDATE entries SET attempts = ? WHERE id = ?", (n, record.number))
    return n


def _let_go(tables: Tables, record: Record, request_id: str) -> None:
    """Remove a request id from another entry, for which a look-up has stored it.

    That entry has the same body. fal has returned the id to this process, so the look-up was wrong. The other entry
    is uncertain again, unless it has an outcome.
    """
    row = tables.db.execute(
        "SELECT r.entry, r.n FROM requests r JOIN origins o ON o.id = r.origin "
        "WHERE r.request_id = ? AND o.url = ? AND r.entry <> ?",
        (request_id, record.place.space.origin, record.number),
    ).fetchone()
    if row is None:
        return
    tables.db.execute("UPDATE requests SET request_id = NULL WHERE entry = ? AND n = ?", tuple(row))
    tables.db.execute(
        "UPDATE entries SET version = version + 1, owner = NULL, "
        "state = CASE WHEN ended_at IS NULL THEN 'uncertain' ELSE state END WHERE id = ?",
        (row[0],),
    )


def uncertain(tables: Tables, me: int, hold: Hold, at: float) -> None:
    tables.held.pop(hold.entry, None)
    changed = tables.db.execute(
        "UPDATE entries SET state = 'uncertain', owner = NULL, version = version + 1 "
        "WHERE id = ? AND attempts = ? AND owner = ? AND state = 'claimed'",
        (hold.entry, hold.attempt, me),
    )
    if changed.rowcount:  # the submit was sent before `at`, if at all, so a look-up searches a shorter time
        tables.db.execute(
            "UPDATE requests SET claimed_until = min(claimed_until, ?) WHERE entry = ? AND n = ?",
            (at, hold.entry, hold.attempt),
        )


def adopt(
    tables: Tables, entry: int, version: int, attempt: int, request_id: str, at: float
) -> Record | None:
    record = by_number(tables, entry)
    if record is None or record.version != version or _is_taken(tables, record, request_id):
        return None
    changed = tables.db.execute(
        "UPDATE requests SET request_id = ?, submitted_at = ? WHERE entry = ? AND n = ? AND request_id IS NULL",
        (request_id, at, entry, attempt),
    )
    if not changed.rowcount:
        return None
    is_settled = record.state in ("done", "submitted")
    tables.db.execute(
        "UPDATE entries SET version = version + 1 WHERE id = ?"
        if is_settled
        else "UPDATE entries SET state = 'submitted', final = 0, owner = NULL, submitted_at = ?, ended_at = NULL, "
        "version = version + 1 WHERE id = ?",
        (entry,) if is_settled else (at, entry),
    )
    return by_number(tables, entry)


def _is_taken(tables: Tables, record: Record, request_id: str) -> bool:
    return (
        tables.db.execute(
            "SELECT 1 FROM requests r JOIN origins o ON o.id = r.origin WHERE r.request_id = ? AND o.url = ?",
            (request_id, record.place.space.origin),
        ).fetchone()
        is not None
    )


def give_up(tables: Tables, entry: int, version: int, attempt: int, at: float) -> bool:
    record = by_number(tables, entry)
    if record is None or record.version != version:
        return False
    removed = tables.db.execute(
        "DELETE FROM requests WHERE entry = ? AND n = ? AND request_id IS NULL", (entry, attempt)
    )
    if not removed.rowcount:
        return False
    if record.state in ("claimed", "uncertain") and attempt == record.requests[-1].n:
        _fall_back(tables, record, attempt, at)
    else:
        tables.db.execute("UPDATE entries SET version = version + 1 WHERE id = ?", (entry,))
    return True
