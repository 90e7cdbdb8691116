"""The seam between when progress is drawn and how it looks."""

from __future__ import annotations

import select
from typing import IO, Protocol

from fal_async.batch.summary import BatchSummary


class Face(Protocol):
    """How progress looks. Any method may raise: after that only `close` is called."""

    every: float
    """Seconds between two drawings."""

    def show(self, endpoint_id: str, summary: BatchSummary, *, changed: bool) -> None: ...

    def end(self, endpoint_id: str, summary: BatchSummary) -> None:
        """Draw the final numbers."""
        ...

    def close(self) -> None:
        """Give back what it took over, such as `sys.stderr`. Called once, last."""
        ...


def takes_more(out: IO[str]) -> bool:
    """Return whether a write would not block: a stopped terminal (Ctrl-S), or a pager, must not stop the batch."""
    try:
        return bool(select.select([], [out], [], 0)[1])
    except (OSError, ValueError):  # it has no file descriptor, or select() can't wait for it on this system
        return True
