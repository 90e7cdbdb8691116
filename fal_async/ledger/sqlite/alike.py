"""What several calls do alike, in a few statements for all of them: nearly everything that is read and written.

Around each statement a thread gives Python's lock away and waits to have it back, which costs more than most
statements do. What can't be done so is carried out one by one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any, TypeVar

import attrs

from fal_async.ledger.sqlite.reads import Tables, find_some
from fal_async.ledger.sqlite.rows import packed
from fal_async.protocol.ledger.entry import Payload, Place, Record

T = TypeVar("T")

IS_POSSIBLE: bool = sqlite3.sqlite_version_info >= (3, 33)
"""Older ones have no UPDATE FROM."""
_MOST = 32
"""Rows of one statement."""


class UnlikeError(Exception):
    """One of them was not as it seemed. What was written is to be undone, and each carried out by itself."""


@attrs.frozen(eq=False)
class Kind:
    """`take` gives what `run` takes of one of them, given the number of its owner; None: it is to be carried out by
    itself. `run` gives the outcome of each. `turn`: those of a lower one come first."""

    turn: int
    take: Callable[[Tables, int, Any], Any]
    run: Callable[[Tables, Sequence[Any]], Sequence[Any]]


def pieces(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Of 32, 16, 8, 4, 2, 1: so that there are few statements, which SQLite keeps compiled."""
    start, size = 0, _MOST
    while start < len(values):
        while size > len(values) - start:
            size //= 2
        yield values[start : start + size]
        start += size


def values_of(count: int, row: str) -> str:
    """`VALUES` with this number of rows."""
    return "VALUES " + ", ".join([f"({row})"] * count)


def flat(values: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Of rows, one after another."""
    return list(chain.from_iterable(values))


def store_payloads(
    db: sqlite3.Connection, table: str, payloads: Sequence[tuple[int, Payload | None]]
) -> None:
    """Of entries that have none yet."""
    for some in pieces([(entry, payload) for entry, payload in payloads if payload is not None]):
        values = flat((entry, *packed(payload)) for entry, payload in some)
        db.execute(_payloads(table, len(some)), values)


@cache
def _payloads(table: str, count: int) -> str:
    return f"INSERT INTO {table} (entry, type, packed, body) {values_of(count, '?, ?, ?, ?')}"


def change(db: sqlite3.Connection, statement: str, values: Sequence[Any], count: int) -> None:
    """So many rows, or UnlikeError."""
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


FIND = Kind(4, _as_it_is, _find)  # sees what the others write
