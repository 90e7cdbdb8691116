"""The seam to what shows the progress of a batch."""

from __future__ import annotations

from typing import Protocol

from fal_async.batch.summary import BatchSummary


class Summarized(Protocol):
    """What a display sees of a batch."""

    @property
    def endpoint_id(self) -> str:
        """The endpoint of the batch."""
        ...

    @property
    def summary(self) -> BatchSummary:
        """Its numbers now."""
        ...


class Display(Protocol):
    """Shows the progress of a batch, given as `progress=`.

    Its methods are called in the batch's event loop. None of them may raise, block or take long.
    """

    def start(self, batch: Summarized) -> None:
        """Begin to show `batch`. Called once, first."""
        ...

    def changed(self) -> None:
        """Note that `batch.summary` has changed. Called very often: read the summary when it is time to draw."""
        ...

    def end(self) -> None:
        """Show the final numbers: the batch has ended or was left. Called once, after `start`."""
        ...
