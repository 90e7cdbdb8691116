"""Long reads and writes in pieces. Each piece is one operation, so that others can run between two pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from fal_async.ledger.sqlite import reads
from fal_async.ledger.sqlite.cleaning import drop_payloads
from fal_async.ledger.sqlite.reads import Tables
from fal_async.ledger.store import Costs, Search
from fal_async.protocol.ledger.entry import Record, State

T = TypeVar("T")
Work = Callable[[Tables, int], T]
"""The work of an operation, called with the tables and the number of the owner."""


def page(search: Search, after: int, limit: int, payloads: bool) -> Work[tuple[list[Record], int | None]]:
    return lambda tables, _: reads.page(tables, search, after, limit, payloads)


def totals(search: Search, after: int) -> Work[tuple[Counter[State], int | None]]:
    return lambda tables, _: reads.totals(tables, search, after)


def costs(search: Search, after: int) -> Work[tuple[Costs, int | None]]:
    return lambda tables, _: reads.costs(tables, search, after)


def drop(ended_before: float, after: int) -> Work[tuple[int, int | None]]:
    return lambda tables, _: drop_payloads(tables, ended_before, after)
