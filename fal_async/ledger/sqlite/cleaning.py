"""Delete the payloads of entries that ended more than `keep` seconds ago."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from fal_async.errors import SessionStateError
from fal_async.ledger.sqlite import after_submit
from fal_async.ledger.sqlite.group_commit import Operation
from fal_async.ledger.sqlite.reads import Tables

_EVERY = 600.0
"""Seconds between two searches for payloads to delete."""


class Cleaning:
    """Deletes old payloads in small steps, so that other operations run in between."""

    def __init__(self, keep: float, hand: Callable[[Operation], None]) -> None:
        self._keep, self._hand = keep, hand
        self._next = 0.0
        self._after: int | None = None

    def go_on(self) -> None:
        """Begin a search if one is due; otherwise this costs nothing."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + min(self._keep, _EVERY)
            self._hand(Operation(work=self._some, writes=True))

    def _some(self, tables: Tables, _: int) -> None:
        _, self._after = after_submit.drop_payloads(tables, time.time() - self._keep, self._after or 0)
        if self._after is not None:
            with contextlib.suppress(SessionStateError):  # the ledger was closed: the next process goes on
                self._hand(Operation(work=self._some, writes=True))
