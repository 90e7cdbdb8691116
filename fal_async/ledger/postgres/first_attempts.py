"""Fast writes of several entries in one statement: the claim of a new entry, its request id, and its outcome.

Nearly all entries are written only by these. A statement changes an entry only if its version says so. It reports
the others, which `ledger/sql` writes then.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
import attrs

from fal_async.ledger.postgres.connection_types import Connection
from fal_async.ledger.postgres.database import Database
from fal_async.ledger.postgres.owners import CHANNEL
from fal_async.ledger.postgres.transactions import run
from fal_async.ledger.sql import claims, rows
from fal_async.ledger.sql.claims import FIRST_VERSION, ensured
from fal_async.ledger.store import Hold, NewClaim
from fal_async.protocol.ledger.entry import End, LedgerRequest, Payload, Place, Record

_NOTHING = (None, None, None)
_ANNOUNCED = f"CASE WHEN c.awaited = 1 THEN pg_notify('{CHANNEL}', c.id::text) IS NULL END"
_RETURNED = (
    "e.id, e.version, e.space, e.key, e.endpoint_id, e.input_digest, e.claimed_at, e.submitted_at, e.awaited"
)


# The claim of a new entry.


@attrs.frozen
class Asked:
    """A claim that is to be written: the number of its owner, and a random number by which it is recognised."""

    me: int
    new: NewClaim
    mark: int = attrs.field(factory=lambda: random.getrandbits(63))


@attrs.frozen
class Claimed:
    """The answer to a claim.

    Attributes:
        hold: the claim; None if the key has an entry already.
        is_owner: False if the database does not know that the owner runs, so that no claim was made.
    """

    hold: Hold | None
    is_owner: bool


_CLAIM = f"""
WITH given AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::double precision[],
        $7::bigint[], $8::text[], $9::double precision[], $10::text[], $11::bigint[], $12::text[], $13::smallint[],
        $14::bytea[])
    WITH ORDINALITY AS g(space, key, endpoint_id, input_digest, owner, claimed_at,
        origin, body_digest, claimed_until, token, mark, type, packed, body, i)),
running AS (SELECT id FROM owners WHERE id = ANY($5) AND free_since IS NULL),
made AS (
    INSERT INTO entries
        (space, key, version, endpoint_id, input_digest, state, attempts, owner, claimed_at, awaited)
    SELECT g.space, g.key, {FIRST_VERSION}, g.endpoint_id, g.input_digest, 'claimed', 1, g.owner, g.claimed_at,
        CASE WHEN g.token IS NULL THEN 0 ELSE 1 END
    FROM given g JOIN running ON running.id = g.owner
    WHERE NOT EXISTS (SELECT 1 FROM entries e WHERE e.space = g.space AND e.key = g.key)
    ORDER BY g.space, g.key
    ON CONFLICT DO NOTHING RETURNING id, space, key),
asked AS (
    INSERT INTO requests (entry, n, origin, body_digest, claimed_at, claimed_until, token, mark)
    SELECT made.id, 1, g.origin, g.body_digest, g.claimed_at, g.claimed_until, g.token, g.mark
    FROM made JOIN given g ON g.space = made.space AND g.key = made.key),
stored AS (
    INSERT INTO inputs (entry, type, packed, body)
    SELECT made.id, g.type, g.packed, g.body
    FROM made JOIN given g ON g.space = made.space AND g.key = made.key WHERE g.body IS NOT NULL)
SELECT coalesce(made.id, earlier.entry), running.id IS NOT NULL
FROM given g LEFT JOIN running ON running.id = g.owner
LEFT JOIN made ON made.space = g.space AND made.key = g.key
LEFT JOIN entries e ON e.space = g.space AND e.key = g.key AND e.state = 'claimed'
LEFT JOIN requests earlier ON earlier.entry = e.id AND earlier.n = 1 AND earlier.mark = g.mark
ORDER BY g.i
"""
# `earlier` is the same claim, which was written before the connection was lost.


async def claim(database: Database, connection: Connection, given: Sequence[Asked]) -> list[Claimed]:
    """Claim new entries. All have different places."""
    for space in {asked.new.place.space for asked in given}:
        if space not in database.spaces:
            database.spaces[space] = await run(database, connection, ensured(space))
    found = await connection.fetch(_CLAIM, *_columns((_claim_values(database, asked) for asked in given), 14))
    return [
        Claimed(None if entry is None else Hold(entry=entry, attempt=1), is_owner)
        for entry, is_owner in found
    ]


def _claim_values(database: Database, asked: Asked) -> tuple[Any, ...]:
    new = asked.new
    space, origin = database.spaces[new.place.space]
    return (
        *(space, new.place.key, new.endpoint_id, new.input_digest, asked.me, new.claimed_at),
        *(origin, new.body_digest, new.claimed_until, new.token, asked.mark, *_packed(new.input)),
    )


def _packed(payload: Payload | None) -> tuple[Any, ...]:
    return _NOTHING if payload is None else rows.packed(payload)


def _columns(values: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    columns: list[list[Any]] = [[] for _ in range(width)]
    for row in values:
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    return columns


async def further(database: Database, connection: Connection, asked: Asked) -> Claimed:
    """Claim a further attempt of an entry."""
    if not await connection.fetchval("SELECT 1 FROM owners WHERE id = $1 AND free_since IS NULL", asked.me):
        return Claimed(None, is_owner=False)
    hold = await run(database, connection, claims.further(asked.me, asked.new))
    if hold is None:
        return Claimed(await written_claim(connection, asked), is_owner=True)
    await connection.execute(
        "UPDATE requests SET mark = $1 WHERE entry = $2 AND n = $3", asked.mark, hold.entry, hold.attempt
    )
    if asked.new.token is not None:
        await connection.execute("UPDATE entries SET awaited = 1 WHERE id = $1", hold.entry)
    return Claimed(hold, is_owner=True)


async def written_claim(connection: Connection, asked: Asked) -> Hold | None:
    """Return the claim if the entry has just this one, which was written before the connection was lost."""
    place = asked.new.place
    found = await connection.fetchrow(
        "SELECT e.id, r.n FROM entries e JOIN spaces s ON s.id = e.space JOIN origins o ON o.id = s.origin "
        "JOIN requests r ON r.entry = e.id AND r.n = e.attempts WHERE e.key = $1 AND s.run = $2 AND s.tenant = $3 "
        "AND o.url = $4 AND r.mark = $5 AND e.state = 'claimed'",
        *(place.key, place.space.run, place.space.tenant, place.space.origin, asked.mark),
    )
    return None if found is None else Hold(entry=found[0], attempt=found[1])


# The request id of a new entry.


@attrs.frozen
class Accepted:
    """A request that fal has accepted; `me` is the owner of the claim."""

    me: int
    hold: Hold
    request_id: str
    at: float


_SUBMITTED = f"""
WITH given AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::double precision[])
    AS g(entry, owner, request_id, at)),
changed AS (
    UPDATE entries e SET state = 'submitted', submitted_at = g.at, version = e.version + 1 FROM given g
    WHERE e.id = g.entry AND e.owner = g.owner AND e.version = {FIRST_VERSION}
    RETURNING {_RETURNED}, g.request_id AS accepted),
asked AS (
    UPDATE requests r SET request_id = c.accepted, submitted_at = c.submitted_at FROM changed c
    WHERE r.entry = c.id AND r.n = 1
    RETURNING r.entry, r.body_digest, r.claimed_at, r.claimed_until, r.request_id,
        r.token IS NOT NULL AS by_webhook)
SELECT c.*, a.*, {_ANNOUNCED} FROM changed c JOIN asked a ON a.entry = c.id
"""


async def submitted(
    database: Database, connection: Connection, given: Sequence[Accepted]
) -> list[Record | None]:
    """Store request ids of first attempts. The answer is None for an entry that has to be written separately."""
    values = ((one.hold.entry, one.me, one.request_id, one.at) for one in given if one.hold.attempt == 1)
    found = await connection.fetch(_SUBMITTED, *_columns(values, 4))
    made = {row["id"]: row for row in found}
    return [_submitted_record(database, one, made.get(one.hold.entry)) for one in given]


def _submitted_record(database: Database, one: Accepted, row: asyncpg.Record | None) -> Record | None:
    place = None if row is None else _place(database, row)
    if row is None or place is None:
        return None
    owner = database.owners.mine.get(one.me)
    return _record(place, row, _request(row), state="submitted", owner=owner, owner_lives=True)


# The outcome of a new entry.


@attrs.frozen
class Outcome:
    """The outcome of a request, and the number of its entry."""

    entry: int
    request_id: str
    end: End


_END = f"""
WITH given AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::smallint[], $5::double precision[], $6::text[],
        $7::text[], $8::text[], $9::text[], $10::text[], $11::smallint[], $12::bytea[])
    AS g(entry, request_id, state, final, at, headers, outcome, units, cost, type, packed, body)),
changed AS (
    UPDATE entries e SET state = g.state, final = g.final, owner = NULL, ended_at = g.at, headers = g.headers,
        version = e.version + 1
    FROM given g JOIN requests r ON r.entry = g.entry AND r.n = 1 AND r.request_id = g.request_id
    WHERE e.id = g.entry AND e.state = 'submitted' AND e.version = {FIRST_VERSION + 1}
    RETURNING {_RETURNED}),
asked AS (
    UPDATE requests r SET ended_at = g.at, outcome = g.outcome, final = g.final, units = g.units, cost = g.cost
    FROM changed c JOIN given g ON g.entry = c.id WHERE r.entry = c.id AND r.n = 1
    RETURNING r.entry, r.body_digest, r.claimed_at, r.claimed_until, r.request_id,
        r.token IS NOT NULL AS by_webhook),
stored AS (
    INSERT INTO ends (entry, type, packed, body)
    SELECT c.id, g.type, g.packed, g.body FROM changed c JOIN given g ON g.entry = c.id WHERE g.body IS NOT NULL)
SELECT c.*, a.*, {_ANNOUNCED} FROM changed c JOIN asked a ON a.entry = c.id
"""


async def end(database: Database, connection: Connection, given: Sequence[Outcome]) -> list[Record | None]:
    """Store outcomes of first attempts. The answer is None for an entry that has to be written separately."""
    found = await connection.fetch(_END, *_columns(map(_end_values, given), 12))
    made = {row["id"]: row for row in found}
    return [_ended_record(database, one.end, made.get(one.entry)) for one in given]


def _end_values(one: Outcome) -> tuple[Any, ...]:
    end = one.end
    state, final, at, headers = rows.entry_end_values(end)
    units, cost = rows.text(end.billable_units), rows.text(end.cost)
    return (
        *(one.entry, one.request_id, state, final, at, headers),
        *(end.outcome, units, cost, *_packed(end.payload)),
    )


def _ended_record(database: Database, end: End, row: asyncpg.Record | None) -> Record | None:
    place = None if row is None else _place(database, row)
    if row is None or place is None:
        return None
    request = _request(
        *(row,), ended_at=end.at, outcome=end.outcome, billable_units=end.billable_units, cost=end.cost
    )
    now: dict[str, Any] = {"state": end.state, "final": end.final, "ended_at": end.at}
    return _record(place, row, request, end=end.payload, headers=dict(end.headers), **now)


# Records of entries with one attempt.


def _place(database: Database, row: asyncpg.Record) -> Place | None:
    """Return the place of an entry; None if this process does not know its namespace yet."""
    space = next((space for space, (number, _) in database.spaces.items() if number == row["space"]), None)
    return None if space is None else Place(space=space, key=row["key"])


def _request(row: asyncpg.Record, **end: Any) -> LedgerRequest:
    return LedgerRequest(
        n=1,
        body_digest=row["body_digest"],
        request_id=row["request_id"],
        claimed_at=row["claimed_at"],
        claimed_until=row["claimed_until"],
        submitted_at=row["submitted_at"],
        by_webhook=row["by_webhook"],
        **end,
    )


def _record(place: Place, row: asyncpg.Record, request: LedgerRequest, **now: Any) -> Record:
    return Record(
        number=row["id"],
        version=row["version"],
        place=place,
        endpoint_id=row["endpoint_id"],
        input_digest=row["input_digest"],
        attempts=1,
        requests=(request,),
        claimed_at=row["claimed_at"],
        submitted_at=row["submitted_at"],
        **now,
    )
