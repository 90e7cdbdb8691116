"""Fast writes for entries that only this process has written since their claim, which are nearly all entries.

The process remembers its claims, and each write checks by the version that the entry is unchanged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import Any

import attrs

from fal_async.ledger.sql import rows
from fal_async.ledger.sql.claims import FIRST_VERSION, INSERT_REQUEST, ensured, further, request_values
from fal_async.ledger.sqlite.alike import (
    Kind,
    UnlikeError,
    change,
    flat,
    pieces,
    store_payloads,
    values_of,
)
from fal_async.ledger.sqlite.reads import Tables
from fal_async.ledger.sqlite.writes import run
from fal_async.ledger.store import Hold, NewClaim
from fal_async.protocol.ledger.entry import End, LedgerRequest, Place, Record, Space

_SUBMITTED = FIRST_VERSION + 1
"""The version of a submitted entry that only its owner has written."""


@attrs.define
class Held:
    """A new entry that an owner of this process has claimed, and has submitted if it has a request id.

    The input is left out, because it may be large.
    """

    entry: int
    owner: int
    place: Place
    endpoint_id: str
    input_digest: str
    body_digest: str
    claimed_at: float
    claimed_until: float
    by_webhook: bool
    request_id: str | None = None
    submitted_at: float | None = None


# The claim of a new entry: see `Kind` for the functions `_take...`.


def claim(tables: Tables, me: int, new: NewClaim) -> Hold | None:
    """Make one claim, of a new entry or of a further attempt: see `Store.claim`."""
    if new.seen is not None:
        return run(tables, further(me, new))
    holds = _first_claims(tables, [(me, new)])
    return None if holds is None else holds[0]


@cache
def _inserts(count: int) -> tuple[str, str]:
    return (
        "INSERT OR IGNORE INTO entries "
        "(version, state, attempts, space, key, endpoint_id, input_digest, owner, claimed_at) "
        + values_of(count, f"{FIRST_VERSION}, 'claimed', 1, ?, ?, ?, ?, ?, ?"),
        INSERT_REQUEST + values_of(count, "?, ?, ?, ?, ?, ?, ?"),
    )


def _first_claims(tables: Tables, new: Sequence[tuple[int, NewClaim]]) -> list[Hold] | None:
    """Insert new entries, each with the number of its owner.

    Returns None if one of them exists already. If there are several, some may be written then, and the caller must
    roll back.
    """
    spaces = [_ensured(tables, claim.place.space) for _, claim in new]
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
            request_values(entry, 1, origin, claim)
            for (entry, (_, claim)), (_, origin) in zip(numbered, spaces, strict=True)
        ),
    )
    store_payloads(tables.db, "inputs", [(entry, claim.input) for entry, (_, claim) in numbered])
    return [Hold(entry=entry, attempt=1) for entry, _ in numbered]


def _ensured(tables: Tables, space: Space) -> tuple[int, int]:
    known = tables.space(space)
    if known is None:
        known = tables.spaces[space] = run(tables, ensured(space))
    return known


def _take_claim(_: Tables, me: int, new: NewClaim) -> tuple[int, NewClaim] | None:
    return (me, new) if new.seen is None else None


def _claim(tables: Tables, new: Sequence[tuple[int, NewClaim]]) -> list[Hold]:
    return [hold for some in pieces(new) for hold in _claim_some(tables, some)]


def _claim_some(tables: Tables, new: Sequence[tuple[int, NewClaim]]) -> list[Hold]:
    holds = _first_claims(tables, new)
    if holds is None:
        raise UnlikeError
    for hold, (me, claim) in zip(holds, new, strict=True):
        tables.hold(
            hold.entry,
            Held(
                *(hold.entry, me, claim.place, claim.endpoint_id, claim.input_digest, claim.body_digest),
                *(claim.claimed_at, claim.claimed_until, claim.token is not None),
            ),
        )
    return holds


# The request id of a new entry.


def _take_submitted(tables: Tables, me: int, given: tuple[Hold, str, float]) -> Held | None:
    hold, request_id, at = given
    held: Held | None = tables.held.pop(hold.entry, None)
    if held is None or held.request_id is not None or held.owner != me or hold.attempt != 1:
        return None
    held.request_id, held.submitted_at = request_id, at
    return held


@cache
def _submits(count: int) -> tuple[str, str]:
    given = f"FROM ({values_of(count, '?, ?, ?')}) given"
    return (
        f"UPDATE entries SET state = 'submitted', submitted_at = given.column3, version = {_SUBMITTED} "
        f"{given} WHERE id = given.column1 AND version = {FIRST_VERSION}",
        "UPDATE requests SET request_id = given.column2, submitted_at = given.column3 "
        f"{given} WHERE entry = given.column1 AND n = 1",
    )


def _submitted(tables: Tables, all_held: Sequence[Held]) -> list[Record]:
    for some in pieces(all_held):
        values = flat((held.entry, held.request_id, held.submitted_at) for held in some)
        for statement in _submits(len(some)):
            change(tables.db, statement, values, len(some))
    for held in all_held:
        if (
            not held.by_webhook
        ):  # any process may write the outcome of the others, and this one would remember them
            tables.hold(held.entry, held)
    return [_after_submit(tables, held) for held in all_held]


def _after_submit(tables: Tables, held: Held) -> Record:
    owner = tables.owners.get(held.owner)
    now: dict[str, Any] = {"state": "submitted", "owner": owner, "owner_lives": True}
    return _record(held, _request(held), version=_SUBMITTED, **now)


# The outcome of a new entry.


def _take_end(tables: Tables, _: int, given: tuple[int, str, End]) -> tuple[Held, End] | None:
    entry, request_id, end = given
    held: Held | None = tables.held.pop(entry, None)
    return None if held is None or held.request_id != request_id else (held, end)


def _end(tables: Tables, ends: Sequence[tuple[Held, End]]) -> list[Record]:
    for some in pieces(ends):
        _end_some(tables.db, some)
    store_payloads(tables.db, "ends", [(held.entry, end.payload) for held, end in ends])
    return [_ended(held, end) for held, end in ends]


@cache
def _ends(count: int) -> tuple[str, str]:
    return (
        "UPDATE entries SET state = given.column2, final = given.column3, owner = NULL, "
        f"ended_at = given.column4, headers = given.column5, version = {_SUBMITTED + 1} "
        f"FROM ({values_of(count, '?, ?, ?, ?, ?')}) given "
        f"WHERE id = given.column1 AND version = {_SUBMITTED}",
        "UPDATE requests SET ended_at = given.column2, outcome = given.column3, final = given.column4, "
        f"units = given.column5, cost = given.column6 FROM ({values_of(count, '?, ?, ?, ?, ?, ?')}) given "
        "WHERE entry = given.column1 AND n = 1",
    )


def _end_some(db: sqlite3.Connection, ends: Sequence[tuple[Held, End]]) -> None:
    of_entries, of_requests = _ends(len(ends))
    change(db, of_entries, flat((held.entry, *rows.entry_end_values(end)) for held, end in ends), len(ends))
    change(db, of_requests, flat((held.entry, *rows.end_values(end)) for held, end in ends), len(ends))


def _ended(held: Held, end: End) -> Record:
    request = _request(
        *(held,), ended_at=end.at, outcome=end.outcome, billable_units=end.billable_units, cost=end.cost
    )
    now: dict[str, Any] = {"state": end.state, "final": end.final, "ended_at": end.at}
    return _record(
        *(held, request), version=_SUBMITTED + 1, end=end.payload, headers=dict(end.headers), **now
    )


CLAIM = Kind(1, _take_claim, _claim)
SUBMITTED = Kind(2, _take_submitted, _submitted)
END = Kind(3, _take_end, _end)


def _request(held: Held, **end: Any) -> LedgerRequest:
    return LedgerRequest(
        n=1,
        body_digest=held.body_digest,
        request_id=held.request_id,
        claimed_at=held.claimed_at,
        claimed_until=held.claimed_until,
        submitted_at=held.submitted_at,
        by_webhook=held.by_webhook,
        **end,
    )


def _record(held: Held, request: LedgerRequest, **now: Any) -> Record:
    return Record(
        number=held.entry,
        place=held.place,
        endpoint_id=held.endpoint_id,
        input_digest=held.input_digest,
        attempts=1,
        requests=(request,),
        claimed_at=held.claimed_at,
        submitted_at=held.submitted_at,
        **now,
    )
