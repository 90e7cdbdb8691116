"""Delete the inputs and results of entries whose outcome is more than `keep` seconds old."""

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
    """Deletes old payloads in small steps, so that other operations can run between them."""

    def __init__(self, keep: float, hand: Callable[[Operation], None]) -> None:
        self._keep, self._hand = keep, hand
        self._next = 0.0
        self._after: int | None = None

    def go_on(self) -> None:
        """Begin a search if the last one is long enough ago: `keep` seconds, at most 10 minutes."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + min(self._keep, _EVERY)
            self._hand(Operation(work=self._some, writes=True))

    def _some(self, tables: Tables, _: int) -> None:
        """Delete the payloads of some entries, and hand over the next step."""
        _, self._after = after_submit.drop_payloads(tables, time.time() - self._keep, self._after or 0)
        if self._after is not None:
            # If the ledger was closed, another process continues later.
            with contextlib.suppress(SessionStateError):
                self._hand(Operation(work=self._some, writes=True))
