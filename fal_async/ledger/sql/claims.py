"""Writes until the request id of a submit is known.

A claim is the note, written before a submit is sent, that an owner (a process) is about to send it. See `Store` for
each function. `me` is the number of the owner that writes. The claim of a new entry is made by the backends, which
combine several of them.
"""

from __future__ import annotations

from typing import Any

from fal_async.ledger.sql.statements import Write, after, change, find, select
from fal_async.ledger.store import EntryGone, Hold, NewClaim
from fal_async.protocol.ledger.entry import LedgerRequest, Record, Space, State

FIRST_VERSION = 1
"""The version of a new entry, after its claim."""
INSERT_REQUEST = "INSERT INTO requests (entry, n, origin, body_digest, claimed_at, claimed_until, token) "
"""The columns of an attempt when it is claimed."""


def ensured(space: Space) -> Write[tuple[int, int]]:
    """Return the numbers of a namespace and of its origin; insert them if they are new."""
    known = yield from numbers_of(space)
    if known is not None:
        return known
    yield from change("INSERT INTO origins (url) VALUES (?) ON CONFLICT DO NOTHING", space.origin)
    yield from change(
        "INSERT INTO spaces (origin, tenant, run) SELECT id, ?, ? FROM origins WHERE url = ? "
        "ON CONFLICT DO NOTHING",
        *(space.tenant, space.run, space.origin),
    )
    made = yield from numbers_of(space)
    assert made is not None
    return made


def numbers_of(space: Space) -> Write[tuple[int, int] | None]:
    """Return the numbers of a namespace and of its origin; None if it is not stored."""
    found = yield from select(
        "SELECT s.id, o.id FROM spaces s JOIN origins o ON o.id = s.origin "
        "WHERE o.url = ? AND s.tenant = ? AND s.run = ?",
        *(space.origin, space.tenant, space.run),
    )
    return (found[0][0], found[0][1]) if found else None


def further(me: int, new: NewClaim) -> Write[Hold | None]:
    """Claim a further attempt of an entry. None if its version is not `seen`."""
    numbers = yield from numbers_of(new.place.space)
    if numbers is None:
        return None
    space, origin = numbers
    found = yield from select(
        "SELECT id, attempts FROM entries WHERE space = ? AND key = ? AND version = ?",
        *(space, new.place.key, new.seen),
        locks=True,
    )
    if not found:
        return None
    hold = Hold(entry=found[0][0], attempt=found[0][1] + 1)
    yield from change(
        "UPDATE entries SET state = 'claimed', final = 0, attempts = ?, owner = ?, claimed_at = ?, "
        "submitted_at = NULL, ended_at = NULL, version = version + 1 WHERE id = ?",
        *(hold.attempt, me, new.claimed_at, hold.entry),
    )
    yield from change(
        f"{INSERT_REQUEST} VALUES (?, ?, ?, ?, ?, ?, ?)",
        *request_values(hold.entry, hold.attempt, origin, new),
    )
    return hold


def request_values(entry: int, n: int, origin: int, claim: NewClaim) -> tuple[Any, ...]:
    """Return the values of an attempt's columns when it is claimed."""
    return entry, n, origin, claim.body_digest, claim.claimed_at, claim.claimed_until, claim.token


def withdraw(me: int, hold: Hold) -> Write[None]:
    record = yield from find(hold.entry)
    if record is not None and _is_claim_of_another(record, me, hold):
        return  # it was withdrawn before, and another owner has claimed the attempt with this number since
    removed = yield from change(
        "DELETE FROM requests WHERE entry = ? AND n = ? AND request_id IS NULL", hold.entry, hold.attempt
    )
    if record is None or not removed or not _is_claim_of(record, me, hold):
        return  # the claim was resolved before, in another way
    if hold.attempt == 1:
        yield from delete(hold.entry)
        return
    yield from change("UPDATE entries SET attempts = attempts - 1 WHERE id = ?", hold.entry)
    yield from fall_back(record, hold.attempt, record.claimed_at)


def _is_claim_of(record: Record, me: int, hold: Hold) -> bool:
    if record.attempts != hold.attempt:
        return False
    return record.state == "uncertain" or (record.state == "claimed" and record.is_owned_by(me))


def _is_claim_of_another(record: Record, me: int, hold: Hold) -> bool:
    return record.attempts == hold.attempt and record.owner is not None and not record.is_owned_by(me)


def fall_back(record: Record, without: int, at: float) -> Write[None]:
    """Set the entry to the state of its other attempts.

    If there are none, it is "cancelled": the next call submits.
    """
    left = [request for request in record.requests if request.n != without]
    decides = next((request for request in left if request.outcome == "done"), left[-1] if left else None)
    if decides is None:
        values: tuple[Any, ...] = ("cancelled", record.claimed_at, None, at)
    else:
        values = (_state_by(decides), decides.claimed_at, decides.submitted_at, decides.ended_at)
    yield from change(
        "UPDATE entries SET state = ?, claimed_at = ?, submitted_at = ?, ended_at = ?, owner = NULL, "
        "final = coalesce((SELECT final FROM requests WHERE entry = entries.id AND n = ?), 0), "
        "version = version + 1 WHERE id = ?",
        *(*values, decides.n if decides else 0, record.number),
    )


def _state_by(request: LedgerRequest) -> State:
    if request.request_id is None:
        return "uncertain"
    if request.outcome is None:
        return "submitted"
    return "failed" if request.outcome == "expired" else request.outcome


def delete(entry: int) -> Write[None]:
    """Delete the entry, and all that belongs to it."""
    for table in ("requests", "inputs", "ends", "files"):
        yield from change(f"DELETE FROM {table} WHERE entry = ?", entry)
    yield from change("DELETE FROM entries WHERE id = ?", entry)


def submitted(me: int, hold: Hold, request_id: str, at: float) -> Write[Record]:
    record = yield from _existing(hold.entry)
    yield from _let_go(record, request_id)
    mine = record.attempt_of(request_id)
    if mine is None:
        yield from _store_id(record, hold, request_id, at)
    elif mine.outcome is not None:  # it was delivered before the response to the submit
        yield from touch(hold.entry)
        return (yield from after(hold.entry)) or record
    newest = max((request.n for request in record.requests), default=0)
    fits = record.is_owned_by(me) and newest <= hold.attempt
    if fits or not (
        record.state == "done" or (record.state in ("claimed", "submitted") and record.owner_lives)
    ):
        yield from change(
            "UPDATE entries SET state = 'submitted', final = 0, owner = ?, submitted_at = ?, ended_at = NULL, "
            "version = version + 1 WHERE id = ?",
            *(me, at, hold.entry),
        )
    else:
        yield from touch(hold.entry)
    return (yield from after(hold.entry)) or record


def _existing(entry: int) -> Write[Record]:
    """Return the entry; raise EntryGone if it was deleted."""
    record = yield from find(entry)
    if record is None:
        raise EntryGone(f"entry {entry} of the ledger was deleted")
    return record


def touch(entry: int) -> Write[int]:
    """Raise the version of an entry, as a part of it has changed. Returns 0 if the entry was deleted."""
    return (yield from change("UPDATE entries SET version = version + 1 WHERE id = ?", entry))


def _store_id(record: Record, hold: Hold, request_id: str, at: float) -> Write[None]:
    """Store the id with the claimed attempt; if that has another id or was deleted, add an attempt with this id."""
    mine = next((request for request in record.requests if request.n == hold.attempt), None)
    if mine is not None and mine.request_id is None:
        yield from change(
            "UPDATE requests SET request_id = ?, submitted_at = ? WHERE entry = ? AND n = ?",
            *(request_id, at, hold.entry, hold.attempt),
        )
        return
    yield from add_attempt(record, request_id, at, mine)


def add_attempt(record: Record, request_id: str, at: float, like: LedgerRequest | None = None) -> Write[int]:
    """Add an attempt for a request whose id the entry does not have yet; return the number of the attempt.

    `like`: the attempt whose digest and times are copied; None (the default): the times are `at`.
    """
    n = record.attempts + 1
    yield from change(
        "INSERT INTO requests (entry, n, origin, body_digest, request_id, claimed_at, claimed_until, submitted_at) "
        "SELECT ?, ?, s.origin, ?, ?, ?, ?, ? FROM entries e JOIN spaces s ON s.id = e.space WHERE e.id = ?",
        *(record.number, n, like.body_digest if like else None, request_id),
        *(like.claimed_at if like else at, like.claimed_until if like else at, at, record.number),
    )
    yield from change("UPDATE entries SET attempts = ? WHERE id = ?", n, record.number)
    return n


def _let_go(record: Record, request_id: str) -> Write[None]:
    """Remove a request id from another entry, for which a look-up has stored it.

    That entry has the same body. fal has returned the id to this process, so the look-up was wrong. The other entry
    is uncertain again, unless it has an outcome.
    """
    found = yield from select(
        "SELECT r.entry, r.n FROM requests r JOIN origins o ON o.id = r.origin "
        "WHERE r.request_id = ? AND o.url = ? AND r.entry <> ?",
        *(request_id, record.place.space.origin, record.number),
    )
    if not found:
        return
    entry, n = found[0]
    yield from change("UPDATE requests SET request_id = NULL WHERE entry = ? AND n = ?", entry, n)
    yield from change(
        "UPDATE entries SET version = version + 1, owner = NULL, "
        "state = CASE WHEN ended_at IS NULL THEN 'uncertain' ELSE state END WHERE id = ?",
        entry,
    )


def uncertain(me: int, hold: Hold, at: float) -> Write[None]:
    changed = yield from change(
        "UPDATE entries SET state = 'uncertain', owner = NULL, version = version + 1 "
        "WHERE id = ? AND attempts = ? AND owner = ? AND state = 'claimed'",
        *(hold.entry, hold.attempt, me),
    )
    if changed:  # the submit was sent before `at`, if at all, so a look-up searches a shorter time
        yield from change(
            "UPDATE requests SET claimed_until = ? WHERE entry = ? AND n = ? AND claimed_until > ?",
            *(at, hold.entry, hold.attempt, at),
        )


def adopt(entry: int, version: int, attempt: int, request_id: str, at: float) -> Write[Record | None]:
    record = yield from find(entry)
    if record is None or record.version != version or (yield from _is_taken(record, request_id)):
        return None
    changed = yield from change(
        "UPDATE requests SET request_id = ?, submitted_at = ? WHERE entry = ? AND n = ? AND request_id IS NULL",
        *(request_id, at, entry, attempt),
    )
    if not changed:
        return None
    if record.state in ("done", "submitted"):
        yield from touch(entry)
    else:
        yield from change(
            "UPDATE entries SET state = 'submitted', final = 0, owner = NULL, submitted_at = ?, ended_at = NULL, "
            "version = version + 1 WHERE id = ?",
            *(at, entry),
        )
    return (yield from after(entry))


def _is_taken(record: Record, request_id: str) -> Write[bool]:
    found = yield from select(
        "SELECT 1 FROM requests r JOIN origins o ON o.id = r.origin WHERE r.request_id = ? AND o.url = ?",
        *(request_id, record.place.space.origin),
    )
    return bool(found)


def give_up(entry: int, version: int, attempt: int, at: float) -> Write[bool]:
    record = yield from find(entry)
    if record is None or record.version != version:
        return False
    removed = yield from change(
        "DELETE FROM requests WHERE entry = ? AND n = ? AND request_id IS NULL", entry, attempt
    )
    if not removed:
        return False
    if record.state in ("claimed", "uncertain") and attempt == record.requests[-1].n:
        yield from fall_back(record, attempt, at)
    else:
        yield from touch(entry)
    return True
