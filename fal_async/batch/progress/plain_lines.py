"""Writes progress as lines of text, for logs and pipes, and for terminals if rich is not installed."""

from __future__ import annotations

from typing import TextIO

from fal_async.batch.progress.faces import takes_more
from fal_async.batch.progress.wording import counts, ending, pace
from fal_async.batch.summary import BatchSummary

EVERY = 5.0
"""Seconds between two lines."""
_HINT = "for a live display: pip install 'fal-async[progress]'"


class PlainLines:
    """Writes a line every few seconds if something has changed, and one at the end.

    Args:
        out: the text stream to write to.
        hint: whether to write, after the first line, how to get a live display; default False.
    """

    every: float = EVERY

    def __init__(self, out: TextIO, *, hint: bool = False) -> None:
        self._out = out
        self._hint = hint

    def show(self, endpoint_id: str, summary: BatchSummary, *, changed: bool) -> None:
        if changed:
            self._write("; ".join(filter(None, (f"{endpoint_id}: {counts(summary)}", pace(summary)))))

    def end(self, endpoint_id: str, summary: BatchSummary) -> None:
        self._write(f"{endpoint_id}: {ending(summary)}")

    def close(self) -> None:
        """Do nothing."""

    def _write(self, line: str) -> None:
        if self._hint:
            line, self._hint = f"{line}\n({_HINT})", False
        if takes_more(self._out):
            self._out.write(line + "\n")
            self._out.flush()
