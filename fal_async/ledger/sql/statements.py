"""The steps of a write. A write is a generator that yields steps; a backend runs them in one transaction.

So the rules of the writes exist once, and a backend may block its thread or await its connection. A backend locks
the entry of a write against other writers before the first step, or before it returns the entry of `Find`.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

import attrs

from fal_async.protocol.ledger.entry import Record

T = TypeVar("T")
Row = tuple[Any, ...]


@attrs.frozen
class Select:
    """Read rows. Values are marked by `?`. With `locks`, a row of the only table is locked until the end."""

    sql: str
    values: tuple[Any, ...]
    locks: bool = False


@attrs.frozen
class Change:
    """Change rows; the backend returns how many."""

    sql: str
    values: tuple[Any, ...]


@attrs.frozen
class Find:
    """Read the entry with this number, with its attempts, and lock it until the end; None if it does not exist."""

    entry: int
    payloads: bool = False


Step = Select | Change | Find
Write = Generator[Step, Any, T]


def select(sql: str, *values: Any, locks: bool = False) -> Write[list[Row]]:
    """Read rows; see `Select`."""
    found: list[Row] = yield Select(sql, values, locks)
    return found


def change(sql: str, *values: Any) -> Write[int]:
    """Change rows, and return how many."""
    changed: int = yield Change(sql, values)
    return changed


def find(entry: int) -> Write[Record | None]:
    """Read and lock an entry, without its payloads; see `Find`."""
    record: Record | None = yield Find(entry)
    return record


def after(entry: int) -> Write[Record | None]:
    """Return the entry as a write returns it: with its outcome, and without its input."""
    record: Record | None = yield Find(entry, payloads=True)
    return None if record is None else attrs.evolve(record, input=None)
