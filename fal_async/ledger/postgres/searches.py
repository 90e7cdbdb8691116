"""Searches over many entries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from fal_async.ledger.postgres.connection_types import Connection
from fal_async.ledger.postgres.database import Database
from fal_async.ledger.postgres.owners import in_doubt
from fal_async.ledger.postgres.record_reads import BEFORE_TAKING, records, select
from fal_async.ledger.store import Costs, Search
from fal_async.protocol.ledger.entry import UNDER_WAY, Record, Space, State

_AT_ONCE = 500
"""Most entries of which one transaction deletes the payloads."""
_TABLES = "FROM entries e JOIN spaces s ON s.id = e.space JOIN origins o ON o.id = s.origin"


async def named(database: Database, connection: Connection, key: str, search: Search) -> list[Record]:
    """Return the entries of a key in the matching namespaces, at most ten."""
    where, values = _conditions(search, 1)
    found = await connection.fetch(select(f"WHERE e.key = $1 AND {where} LIMIT 10"), key, *values)
    return await records(database, connection, found)


async def of_request(
    database: Database, connection: Connection, origin: str, request_id: str
) -> Record | None:
    """Return the entry that has this request among its attempts, or None."""
    sql = select(
        "WHERE o.url = $1 AND e.id = (SELECT entry FROM requests r WHERE r.request_id = $2 AND r.origin = o.id)"
    )
    found = await records(database, connection, await connection.fetch(sql, origin, request_id))
    return found[0] if found else None


async def known(connection: Connection, request_ids: Collection[str]) -> set[str]:
    """Return those of the request ids that belong to any entry."""
    found = await connection.fetch(
        "SELECT request_id FROM requests WHERE request_id = ANY($1)", list(request_ids)
    )
    return {row[0] for row in found}


async def page(
    database: Database,
    connection: Connection,
    search: Search,
    *,
    after: int,
    limit: int,
    payloads: bool,
) -> list[Record]:
    """Return the next entries; see `Store.page`."""
    where, values = _conditions(search, 3)
    sql = select(f"WHERE e.id > $1 AND {where} ORDER BY e.id LIMIT $2", payloads="$3")
    while True:
        rows = await connection.fetch(sql, after, limit, payloads, *values)
        found = await records(database, connection, rows)
        fitting = [record for record in found if search.states is None or record.state in search.states]
        if fitting or len(found) < limit:
            return fitting
        after = found[-1].number


async def spaces(connection: Connection) -> list[Space]:
    """Return the namespaces that have entries, sorted."""
    found = await connection.fetch(
        "SELECT o.url, s.tenant, s.run FROM spaces s JOIN origins o ON o.id = s.origin "
        "WHERE EXISTS (SELECT 1 FROM entries e WHERE e.space = s.id)"
    )
    return [Space(origin=url, tenant=tenant, run=run) for url, tenant, run in sorted(map(tuple, found))]


async def totals(database: Database, connection: Connection, search: Search) -> Counter[State]:
    """Count the entries in each state. Only the owners of claims have to be looked at one by one."""
    where, values = _conditions(search, 0)
    found = await connection.fetch(
        f"SELECT e.state, count(*) {_TABLES} WHERE {where} AND e.state <> 'claimed' GROUP BY e.state", *values
    )
    counts: Counter[State] = Counter(dict(map(tuple, found)))
    claims = await connection.fetch(
        select(f"WHERE {where} AND e.state = 'claimed'", payloads="false"), *values
    )
    counts.update(record.state for record in await records(database, connection, claims))
    wanted = counts if search.states is None else search.states
    return Counter({state: n for state, n in counts.items() if state in wanted})


async def costs(connection: Connection, search: Search) -> Costs:
    """Return what all attempts cost, those of entries in any state."""
    where, values = _conditions(search, 0, any_state=True)
    row = await connection.fetchrow(
        "SELECT sum(r.cost::numeric), max(r.cost::numeric), "
        "count(*) FILTER (WHERE r.cost IS NULL AND r.ended_at IS NOT NULL), "
        "count(*) FILTER (WHERE r.ended_at IS NULL) "
        f"{_TABLES} JOIN requests r ON r.entry = e.id WHERE {where}",
        *values,
    )
    assert row is not None
    return Costs(known=row[0], highest=row[1], unpriced=row[2], open=row[3])


async def seconds_in_doubt(database: Database, connection: Connection, search: Search) -> float:
    """Return the seconds until it is known of all owners of submitted entries whether they run; 0: it is known.

    It is not known of an owner whose lock is free only for a short time: it may have lost its connection.
    """
    where, values = _conditions(search, 0, any_state=True)
    owners = await connection.fetch(
        f"SELECT DISTINCT e.owner {_TABLES} WHERE {where} AND e.ended_at IS NULL AND e.state = 'submitted' "
        "AND e.owner IS NOT NULL",
        *values,
    )
    others = [row[0] for row in owners if row[0] not in database.owners.mine]
    return 0.0 if not others else await in_doubt(connection, others, BEFORE_TAKING)


async def drop_payloads(connection: Connection, ended_before: float) -> int:
    """Delete the payloads of some old entries; return of how many. 0: there are no more."""
    status = await connection.execute(
        "WITH old AS MATERIALIZED (SELECT id FROM entries WHERE ended_at < $1 AND expired = 0 "
        "ORDER BY id LIMIT $2 FOR UPDATE), "
        "inputs_gone AS (DELETE FROM inputs USING old WHERE entry = old.id), "
        "ends_gone AS (DELETE FROM ends USING old WHERE entry = old.id) "
        "UPDATE entries SET expired = 1, version = version + 1 FROM old WHERE entries.id = old.id",
        *(ended_before, _AT_ONCE),
    )
    return int(status.rpartition(" ")[2])


def _conditions(search: Search, taken: int, *, any_state: bool = False) -> tuple[str, list[Any]]:
    """Return a condition, and its values, which are numbered after the first `taken` values of the statement."""
    named = {
        "o.url": search.origin,
        "s.tenant": search.tenant,
        "s.run": search.run,
        "e.endpoint_id": search.endpoint_id,
    }
    values: list[Any] = [value for value in named.values() if value is not None]
    columns = [column for column, value in named.items() if value is not None]
    parts = [f"{column} = ${taken + n}" for n, column in enumerate(columns, 1)]
    if search.states is not None and not any_state:
        # A claim whose owner is gone is uncertain, but the database does not know whether an owner still runs.
        states = {"claimed" if state == "uncertain" else state for state in search.states} | {*search.states}
        values.append(sorted(states))
        parts.append(f"e.state = ANY(${taken + len(values)})")
        if states <= UNDER_WAY:
            parts.append("e.ended_at IS NULL")
    return " AND ".join(parts) or "true", values
