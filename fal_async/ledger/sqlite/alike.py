"""Run operations of the same kind of several calls together, in few statements. That covers nearly all operations.

For each statement the thread releases Python's global lock and waits to get it back, which takes longer than most
statements. Operations that can't be combined are run one by one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any, TypeVar

import attrs

from fal_async.ledger.sql.rows import packed
from fal_async.ledger.sqlite.reads import Tables, find_some, versions
from fal_async.protocol.ledger.entry import Payload, Place, Record

T = TypeVar("T")

IS_POSSIBLE: bool = sqlite3.sqlite_version_info >= (3, 33)
"""Whether SQLite has UPDATE FROM, which these statements need."""
_MOST = 32
"""Most rows per statement."""


class UnlikeError(Exception):
    """Raised if an entry is not in the expected state: roll back, and run each operation separately."""


@attrs.frozen(eq=False)
class Kind:
    """A kind of operations that can be run together.

    Attributes:
        turn: kinds with a lower number run first.
        take: called with the tables, the number of the operation's owner, and the operation's `given`. It returns
            the argument for `run`, or None if the operation must be run separately.
        run: runs several operations, and returns the outcome of each.
    """

    turn: int
    take: Callable[[Tables, int, Any], Any]
    run: Callable[[Tables, Sequence[Any]], Sequence[Any]]


def pieces(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split into pieces of 32, 16, 8, 4, 2 and 1: so there are few different statements, which SQLite caches."""
    start, size = 0, _MOST
    while start < len(values):
        while size > len(values) - start:
            size //= 2
        yield values[start : start + size]
        start += size


def values_of(count: int, row: str) -> str:
    """Return a `VALUES` clause with this number of rows."""
    return "VALUES " + ", ".join([f"({row})"] * count)


def flat(values: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Join rows into one list of values."""
    return list(chain.from_iterable(values))


def store_payloads(
    db: sqlite3.Connection, table: str, payloads: Sequence[tuple[int, Payload | None]]
) -> None:
    """Insert payloads, each with the number of its entry, which must have none yet. Skip those that are None."""
    for some in pieces([(entry, payload) for entry, payload in payloads if payload is not None]):
        values = flat((entry, *packed(payload)) for entry, payload in some)
        db.execute(_payloads(table, len(some)), values)


@cache
def _payloads(table: str, count: int) -> str:
    return f"INSERT INTO {table} (entry, type, packed, body) {values_of(count, '?, ?, ?, ?')}"


def change(db: sqlite3.Connection, statement: str, values: Sequence[Any], count: int) -> None:
    """Run a statement that must change exactly `count` rows; raise UnlikeError otherwise."""
    try:
        changed = db.execute(statement, values).rowcount
    except sqlite3.IntegrityError:
        raise UnlikeError from None
    if changed != count:
        raise UnlikeError


def _as_it_is(_: Tables, __: int, given: tuple[Place, bool]) -> tuple[Place, bool]:
    return given


def _find(tables: Tables, given: Sequence[tuple[Place, bool]]) -> list[Record | None]:
    found: dict[tuple[Place, bool], Record] = {}
    for payloads in (True, False):
        for places in pieces([place for place, wanted in given if wanted is payloads]):
            found |= {(record.place, payloads): record for record in find_some(tables, places, payloads)}
    return [found.get(one) for one in given]


def _entry(_: Tables, __: int, given: int) -> int:
    return given


def _versions(tables: Tables, given: Sequence[int]) -> list[int | None]:
    found: dict[int, int] = {}
    for some in pieces(given):
        found |= versions(tables, some)
    return [found.get(entry) for entry in given]


# The last kinds, so that they read what the other kinds have written.
FIND = Kind(4, _as_it_is, _find)
VERSION = Kind(5, _entry, _versions)
