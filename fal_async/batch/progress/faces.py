"""The seam between the display, which decides when to draw, and the faces, which decide how it looks."""

from __future__ import annotations

import select
from typing import IO, Protocol

from fal_async.batch.summary import BatchSummary


class Face(Protocol):
    """Draws the progress in one style. Any method may raise; after that only `close` is called."""

    every: float
    """Seconds between two drawings."""

    def show(self, endpoint_id: str, summary: BatchSummary, *, changed: bool) -> None: ...

    def end(self, endpoint_id: str, summary: BatchSummary) -> None:
        """Draw the final numbers."""
        ...

    def close(self) -> None:
        """Restore what it has replaced, such as `sys.stderr`. Called once, as the last method."""
        ...


def takes_more(out: IO[str]) -> bool:
    """Return whether a write would not block.

    A terminal that was stopped with Ctrl-S, or a pager, blocks writes, and must not block the batch.
    """
    try:
        return bool(select.select([], [out], [], 0)[1])
    except (
        OSError,
        ValueError,
    ):  # `out` has no file descriptor, or select() does not support it on this system
        return True
