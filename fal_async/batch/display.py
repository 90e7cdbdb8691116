"""The seam between a batch and the display of its progress."""

from __future__ import annotations

from typing import Protocol

from fal_async.batch.summary import BatchSummary


class Summarized(Protocol):
    """The part of a batch that a display uses."""

    @property
    def endpoint_id(self) -> str:
        """The endpoint of the batch."""
        ...

    @property
    def summary(self) -> BatchSummary:
        """The current numbers of the batch."""
        ...


class Display(Protocol):
    """Shows the progress of a batch, given as `progress=`.

    Its methods are called in the batch's event loop. None of them may raise, block or take long.
    """

    def start(self, batch: Summarized) -> None:
        """Begin to show `batch`. Called once, before the other methods."""
        ...

    def changed(self) -> None:
        """Note that `batch.summary` has changed. Called very often, so it should only set a flag."""
        ...

    def end(self) -> None:
        """Show the final numbers. Called once, when the batch has ended or was left."""
        ...
