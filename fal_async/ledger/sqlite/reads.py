"""Reads from the tables. They run in the thread of the file."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from typing import Any

import attrs

from fal_async.ledger.sql import rows
from fal_async.ledger.store import Costs, Search
from fal_async.protocol.amounts import total
from fal_async.protocol.ledger.entry import (
    UNDER_WAY,
    Owner,
    Payload,
    Place,
    Record,
    Space,
    State,
    StoredFile,
)

BITE = 5_000
"""Most rows that one piece of a long search reads. Commits can run between two pieces."""
_AT_ONCE = 500
"""Most values in one statement, because older versions of SQLite accept at most 999."""
_LAST = 2**63 - 1


@attrs.define(kw_only=True, eq=False)
class Tables:
    """The tables of an open file, and what its thread remembers of them. Passed to all functions that use them."""

    db: sqlite3.Connection
    lives: Callable[[int], bool]
    """Returns whether the owner with this number holds its lock."""
    spaces: dict[Space, tuple[int, int]] = attrs.field(factory=dict)
    """The numbers of stored namespaces and of their origins."""
    held: dict[int, Any] = attrs.field(factory=dict)
    """By number, the entries that only this process has written: see `new_entries`."""
    owners: dict[int, Owner] = attrs.field(factory=dict)
    """The owners of this process."""

    fresh: set[int] = attrs.field(factory=set)
    """The numbers in `held` that the open transaction has written."""

    def hold(self, entry: int, held: Any) -> None:
        """Remember an entry that the open transaction has written."""
        self.held[entry] = held
        self.fresh.add(entry)

    def is_written(self) -> None:
        """Note that the open transaction was committed."""
        self.fresh.clear()

    def forget_what_was_written(self) -> None:
        """Forget what the open transaction has written, as it was rolled back."""
        self.spaces.clear()
        for entry in self.fresh:
            self.held.pop(entry, None)
        self.fresh.clear()

    def space(self, space: Space) -> tuple[int, int] | None:
        """Return the numbers of a namespace and of its origin; None if it is not stored."""
        if space not in self.spaces:
            found = self.db.execute(
                "SELECT s.id, o.id FROM spaces s JOIN origins o ON o.id = s.origin "
                "WHERE o.url = ? AND s.tenant = ? AND s.run = ?",
                (space.origin, space.tenant, space.run),
            ).fetchone()
            if found is None:
                return None
            self.spaces[space] = found
        return self.spaces[space]


def find(tables: Tables, place: Place, payloads: bool) -> Record | None:
    found = find_some(tables, [place], payloads)
    return found[0] if found else None


def find_some(tables: Tables, places: Sequence[Place], payloads: bool) -> list[Record]:
    """Return the entries at these places, in any order."""
    keys: dict[int, list[str]] = {}
    for place in places:
        space = tables.space(place.space)
        if space is not None:
            keys.setdefault(space[0], []).append(place.key)
    found: list[tuple[Any, ...]] = []
    for number, some in keys.items():
        query = f"SELECT {rows.ENTRY} {rows.FROM_ENTRY} WHERE e.space = ? AND e.key IN ({_marks(some)})"
        found += tables.db.execute(query, (number, *some))
    return _whole(tables, found, payloads) if found else []


def find_request(tables: Tables, origin: str, request_id: str) -> Record | None:
    row = tables.db.execute(
        f"SELECT {rows.ENTRY} {rows.FROM_ENTRY} WHERE o.url = ? AND e.id = "
        "(SELECT entry FROM requests r WHERE r.request_id = ? AND r.origin = o.id)",
        (origin, request_id),
    ).fetchone()
    return None if row is None else _whole(tables, [row], True)[0]


def named(tables: Tables, key: str, search: Search) -> list[Record]:
    """Return the entries of a key in the matching namespaces, at most ten."""
    where, values = _conditions(search)
    found = tables.db.execute(
        "SELECT e.id FROM spaces s JOIN origins o ON o.id = s.origin "
        f"CROSS JOIN entries e ON e.space = s.id AND e.key = ? WHERE {where} LIMIT 10",
        (key, *values),
    ).fetchall()
    return _numbered(tables, [row[0] for row in found], True)


def by_number(tables: Tables, entry: int, *, payloads: bool = False) -> Record | None:
    row = tables.db.execute(f"SELECT {rows.ENTRY} {rows.FROM_ENTRY} WHERE e.id = ?", (entry,)).fetchone()
    return None if row is None else _whole(tables, [row], payloads)[0]


def versions(tables: Tables, entries: Sequence[int]) -> dict[int, int]:
    """Return the version of each entry that exists, by its number."""
    return dict(
        tables.db.execute(f"SELECT id, version FROM entries WHERE id IN ({_marks(entries)})", entries)
    )


def known(tables: Tables, request_ids: Collection[str]) -> set[str]:
    ids, found = list(request_ids), set()
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        query = f"SELECT request_id FROM requests WHERE request_id IN ({_marks(some)})"
        found |= {row[0] for row in tables.db.execute(query, some)}
    return found


def page(
    tables: Tables, search: Search, after: int, limit: int, payloads: bool
) -> tuple[list[Record], int | None]:
    """Return the entries of one piece, and the number after which the next piece begins; None at the end."""
    where, values = _conditions(search)
    index = "INDEXED BY entries_under_way" if _is_under_way(search) else "NOT INDEXED"
    found = tables.db.execute(
        f"SELECT e.id, {_wanted(where)} FROM entries e {index} JOIN spaces s ON s.id = e.space "
        "JOIN origins o ON o.id = s.origin "
        f"WHERE e.id > ?{_open_only(search)} ORDER BY e.id LIMIT ?",
        (*values, after, BITE),
    ).fetchall()
    numbers = [row[0] for row in found if row[1]]
    taken = numbers[:limit]
    records = [record for record in _numbered(tables, taken, payloads) if _fits(record, search)]
    if len(numbers) > limit:
        return records, taken[-1]
    return records, found[-1][0] if len(found) == BITE else None


def spaces(tables: Tables) -> list[Space]:
    found = tables.db.execute(
        "SELECT o.url, s.tenant, s.run FROM spaces s JOIN origins o ON o.id = s.origin "
        "WHERE EXISTS (SELECT 1 FROM entries e WHERE e.space = s.id) ORDER BY o.url, s.tenant, s.run"
    )
    return [Space(origin=origin, tenant=tenant, run=run) for origin, tenant, run in found]


def totals(tables: Tables, search: Search, after: int) -> tuple[Counter[State], int | None]:
    """Count the states of one piece; see `page`."""
    where, values = _conditions(attrs.evolve(search, states=None))
    found = tables.db.execute(
        f"SELECT e.id, e.state, e.owner, {_wanted(where)} FROM entries e NOT INDEXED "
        "JOIN spaces s ON s.id = e.space JOIN origins o ON o.id = s.origin WHERE e.id > ? ORDER BY e.id LIMIT ?",
        (*values, after, BITE),
    ).fetchall()
    counts: Counter[State] = Counter(
        _state(tables, state, owner) for _, state, owner, is_wanted in found if is_wanted
    )
    kept = {state: n for state, n in counts.items() if search.states is None or state in search.states}
    return Counter(kept), found[-1][0] if len(found) == BITE else None


def costs(tables: Tables, search: Search, after: int) -> tuple[Costs, int | None]:
    """Return the costs of one piece, and where to continue; see `page`."""
    where, values = _conditions(attrs.evolve(search, states=None))
    found = tables.db.execute(
        f"SELECT e.id FROM entries e NOT INDEXED JOIN spaces s ON s.id = e.space "
        f"JOIN origins o ON o.id = s.origin WHERE e.id > ? ORDER BY e.id LIMIT 1 OFFSET {BITE - 1}",
        (after,),
    ).fetchone()
    until = None if found is None else found[0]
    attempts = tables.db.execute(
        "SELECT r.cost, r.ended_at FROM entries e NOT INDEXED JOIN spaces s ON s.id = e.space "
        "JOIN origins o ON o.id = s.origin JOIN requests r ON r.entry = e.id "
        f"WHERE {where} AND e.id > ? AND e.id <= ?",
        (*values, after, _LAST if until is None else until),
    ).fetchall()
    amounts = [Decimal(cost) for cost, _ in attempts if cost is not None]
    found = Costs(
        known=total(amounts) if amounts else None,
        highest=max(amounts, default=None),
        unpriced=sum(cost is None and ended_at is not None for cost, ended_at in attempts),
        open=sum(ended_at is None for _, ended_at in attempts),
    )
    return found, until


def summed(pieces: Sequence[Costs]) -> Costs:
    """Return the costs of all pieces together."""
    known = [piece.known for piece in pieces if piece.known is not None]
    return Costs(
        known=total(known) if known else None,
        highest=max((piece.highest for piece in pieces if piece.highest is not None), default=None),
        unpriced=sum(piece.unpriced for piece in pieces),
        open=sum(piece.open for piece in pieces),
    )


def _state(tables: Tables, state: State, owner: int | None) -> State:
    is_left = state == "claimed" and (owner is None or not tables.lives(owner))
    return "uncertain" if is_left else state


def _fits(record: Record, search: Search) -> bool:
    return search.states is None or record.state in search.states


def _is_under_way(search: Search) -> bool:
    return search.states is not None and set(search.states) <= UNDER_WAY


def _open_only(search: Search) -> str:
    return " AND e.ended_at IS NULL" if _is_under_way(search) else ""


def _wanted(where: str) -> str:
    # The condition is a column of the result, not part of WHERE, so that LIMIT counts all rows that were read.
    return f"({where})"


def _conditions(search: Search) -> tuple[str, list[Any]]:
    named = {
        "o.url": search.origin,
        "s.tenant": search.tenant,
        "s.run": search.run,
        "e.endpoint_id": search.endpoint_id,
    }
    parts = [f"{column} = ?" for column, value in named.items() if value is not None]
    values: list[Any] = [value for value in named.values() if value is not None]
    if search.states is not None:
        # A claim whose owner is gone is uncertain, but the database does not know whether an owner still runs.
        states = {"claimed" if state == "uncertain" else state for state in search.states} | {*search.states}
        parts.append(f"e.state IN ({_marks(states)})")
        values += sorted(states)
    return " AND ".join(parts) or "1", values


def _numbered(tables: Tables, numbers: Sequence[int], payloads: bool) -> list[Record]:
    if not numbers:
        return []
    query = f"SELECT {rows.ENTRY} {rows.FROM_ENTRY} WHERE e.id IN ({_marks(numbers)}) ORDER BY e.id"
    return _whole(tables, tables.db.execute(query, numbers).fetchall(), payloads)


def _whole(tables: Tables, found: Sequence[tuple[Any, ...]], payloads: bool) -> list[Record]:
    """Return the records of these rows of `entries`, complete with the rows of the other tables."""
    numbers = [row[0] for row in found]
    requests = _grouped(tables, numbers, "requests", rows.REQUEST, rows.request)
    files = _grouped(tables, numbers, "files", "n, path, size", _file)
    inputs = _grouped(tables, numbers, "inputs", "type, packed, body", rows.payload) if payloads else {}
    ends = _grouped(tables, numbers, "ends", "type, packed, body", rows.payload) if payloads else {}
    return [
        rows.record(
            row,
            tables.lives,
            requests=tuple(requests.get(row[0], ())),
            files=tuple(files.get(row[0], ())),
            input=_only(inputs.get(row[0])),
            end=_only(ends.get(row[0])),
        )
        for row in found
    ]


def _grouped(
    tables: Tables, numbers: Sequence[int], table: str, columns: str, make: Callable[[tuple[Any, ...]], Any]
) -> dict[int, list[Any]]:
    order = ", n" if table in ("requests", "files") else ""
    query = f"SELECT entry, {columns} FROM {table} WHERE entry IN ({_marks(numbers)}) ORDER BY entry{order}"
    groups: dict[int, list[Any]] = {}
    for row in tables.db.execute(query, numbers):
        groups.setdefault(row[0], []).append(make(row[1:]))
    return groups


def _file(row: tuple[Any, ...]) -> StoredFile:
    return StoredFile(n=row[0], path=row[1], size=row[2])


def _only(found: list[Payload] | None) -> Payload | None:
    return found[0] if found else None


def _marks(values: Collection[Any]) -> str:
    return ", ".join("?" * len(values))
