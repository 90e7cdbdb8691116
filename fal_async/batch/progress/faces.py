"""The seam between when progress is shown and what it looks like."""

from __future__ import annotations

import select
from typing import IO, Protocol

from fal_async.batch.summary import BatchSummary


class Face(Protocol):
    """How it looks. Any method may raise: it is not used any more then, but for `close`."""

    every: float
    """Seconds between two looks."""

    def show(self, endpoint_id: str, summary: BatchSummary, *, changed: bool) -> None: ...

    def end(self, endpoint_id: str, summary: BatchSummary) -> None:
        """The last words."""
        ...

    def close(self) -> None:
        """Give back what it took, such as `sys.stderr`. Called once, and last."""
        ...


def takes_more(out: IO[str]) -> bool:
    """Whether a write would not wait: a terminal that was stopped (Ctrl-S), or a pager, must not stop the batch."""
    try:
        return bool(select.select([], [out], [], 0)[1])
    except (OSError, ValueError):  # it has no descriptor, or this system can't tell
        return True
