"""Delete what is no longer needed: old inputs and results, and owners that no longer run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from fal_async.errors import SessionStateError
from fal_async.ledger.sqlite.group_commit import Operation
from fal_async.ledger.sqlite.reads import Tables

EVERY = 600.0
"""Seconds between two searches for payloads to delete."""
_AT_ONCE = 500
"""Most entries that one transaction checks for payloads to delete."""


class Cleaning:
    """Deletes old payloads in small steps, so that other operations can run between them."""

    def __init__(self, keep: float, hand: Callable[[Operation], None]) -> None:
        self._keep, self._hand = keep, hand
        self._next = 0.0
        self._after: int | None = None

    def go_on(self) -> None:
        """Begin a search if the last one is long enough ago: `keep` seconds, at most 10 minutes."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + min(self._keep, EVERY)
            self._hand(Operation(work=self._some, writes=True))

    def _some(self, tables: Tables, _: int) -> None:
        """Delete the payloads of some entries, and hand over the next step."""
        _, self._after = drop_payloads(tables, time.time() - self._keep, self._after or 0)
        if self._after is not None:
            # If the ledger was closed, another process continues later.
            with contextlib.suppress(SessionStateError):
                self._hand(Operation(work=self._some, writes=True))


def drop_payloads(tables: Tables, ended_before: float, after: int) -> tuple[int, int | None]:
    """Check some entries. Return how many have lost their payloads, and where to continue, as `reads.page`."""
    looked_at = tables.db.execute(
        "SELECT id, ended_at IS NOT NULL AND ended_at < ? AND NOT expired FROM entries NOT INDEXED "
        "WHERE id > ? ORDER BY id LIMIT ?",
        (ended_before, after, _AT_ONCE),
    ).fetchall()
    found = [(number,) for number, is_old in looked_at if is_old]
    for table in ("inputs", "ends"):
        tables.db.executemany(f"DELETE FROM {table} WHERE entry = ?", found)
    tables.db.executemany("UPDATE entries SET expired = 1, version = version + 1 WHERE id = ?", found)
    return len(found), looked_at[-1][0] if len(looked_at) == _AT_ONCE else None


def clear_owners(tables: Tables) -> None:
    """Delete the owners that no longer run and have no entries without an outcome."""
    idle = tables.db.execute(
        "SELECT id FROM owners WHERE id NOT IN "
        "(SELECT owner FROM entries WHERE ended_at IS NULL AND owner IS NOT NULL)"
    ).fetchall()
    gone = [row for row in idle if not tables.lives(row[0])]
    tables.db.executemany("DELETE FROM owners WHERE id = ?", gone)
