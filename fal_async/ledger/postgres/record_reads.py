"""Read entries, each with all that belongs to it in one statement, and so on one state of the database."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import asyncpg

from fal_async.ledger.postgres.connection_types import Connection
from fal_async.ledger.postgres.database import Database
from fal_async.ledger.postgres.owners import seconds_free
from fal_async.ledger.sql import rows
from fal_async.protocol.ledger.entry import Payload, Place, Record, StoredFile

BEFORE_TAKING = 10.0
"""Seconds for which the lock of an owner must be free before another process follows the request of its entry.

Nothing is submitted then, so that the time of a submit is not needed.
"""
_OF_REQUEST = ", ".join(f"r.{name}" for name in rows.REQUEST.split(", "))
_OTHERS = (
    f"(SELECT json_agg(json_build_array({_OF_REQUEST}) ORDER BY r.n) "
    "FROM requests r WHERE r.entry = e.id), "
    "(SELECT json_agg(json_build_array(f.n, f.path, f.size) ORDER BY f.n) FROM files f WHERE f.entry = e.id), "
    "i.type, i.packed, i.body, x.type, x.packed, x.body"
)
_STATE, _OWNER = 8, 11
"""Columns of `rows.ENTRY`."""
_ENTRY_COLUMNS = 20
_REQUESTS, _FILES, _INPUT, _END = 20, 21, slice(22, 25), slice(25, 28)


def select(where: str, *, payloads: str = "true") -> str:
    """Return the statement that reads entries; `payloads` is the condition under which their payloads are read.

    `where` may be further tables, too; `e` is the entry, `s` its namespace and `o` its origin.
    """
    return (
        f"SELECT {rows.ENTRY}, {_OTHERS} {rows.FROM_ENTRY} LEFT JOIN inputs i ON i.entry = e.id AND {payloads} "
        f"LEFT JOIN ends x ON x.entry = e.id AND {payloads} {where}"
    )


async def records(
    database: Database, connection: Connection, found: Sequence[asyncpg.Record]
) -> list[Record]:
    """Return the records of these rows, with what is known about their owners."""
    mine = database.owners.mine
    others = {
        row[_OWNER]
        for row in found
        if row[_STATE] in ("claimed", "submitted") and row[_OWNER] is not None and row[_OWNER] not in mine
    }
    free = await seconds_free(connection, others) if others else {}
    return [_record(tuple(row), mine, free) for row in found]


def _record(row: tuple[Any, ...], mine: Collection[int], free: Mapping[int, float]) -> Record:
    requests = tuple(rows.request(tuple(one)) for one in json.loads(row[_REQUESTS] or "[]"))
    patience = BEFORE_TAKING
    if row[_STATE] == "claimed" and requests:
        patience = requests[-1].claimed_until - requests[-1].claimed_at
    return rows.record(
        row[:_ENTRY_COLUMNS],
        lambda owner: owner in mine or (owner in free and not is_dead(free[owner], patience)),
        requests=requests,
        files=tuple(
            StoredFile(n=n, path=path, size=size) for n, path, size in json.loads(row[_FILES] or "[]")
        ),
        input=_payload(row[_INPUT]),
        end=_payload(row[_END]),
    )


def is_dead(free: float, patience: float) -> bool:
    """Return whether an owner is dead whose lock is known to be free for this time."""
    return free > 0 and free >= patience


def _payload(columns: tuple[Any, ...]) -> Payload | None:
    return None if columns[0] is None else rows.payload(columns)


_BY_PLACE = select(
    "JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS g(url, tenant, run, key) "
    "ON g.url = o.url AND g.tenant = s.tenant AND g.run = s.run AND g.key = e.key",
    payloads="$5",
)
_BY_NUMBER = select("WHERE e.id = $1", payloads="$2")


async def at_places(
    database: Database, connection: Connection, given: Sequence[tuple[Place, bool]]
) -> list[Record | None]:
    """Return the entry at each place, or None; with its payloads if so asked."""
    places = list({place for place, _ in given})
    found = await connection.fetch(
        _BY_PLACE,
        [place.space.origin for place in places],
        [place.space.tenant for place in places],
        [place.space.run for place in places],
        [place.key for place in places],
        any(payloads for _, payloads in given),
    )
    by_place = {record.place: record for record in await records(database, connection, found)}
    return [by_place.get(place) for place, _ in given]


async def by_number(
    database: Database, connection: Connection, entry: int, *, payloads: bool
) -> Record | None:
    """Return the entry with this number, or None."""
    found = await records(database, connection, await connection.fetch(_BY_NUMBER, entry, payloads))
    return found[0] if found else None
