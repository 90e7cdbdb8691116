"""The seam to what shows how far a batch is."""

from __future__ import annotations

from typing import Protocol

from fal_async.batch.summary import BatchSummary


class Summarized(Protocol):
    """A batch, as far as a display needs it."""

    @property
    def endpoint_id(self) -> str: ...

    @property
    def summary(self) -> BatchSummary: ...


class Display(Protocol):
    """Shows a batch. Called in the batch's event loop; none of its methods may raise, wait, or take long."""

    def start(self, batch: Summarized) -> None:
        """It begins."""
        ...

    def changed(self) -> None:
        """A number of `batch.summary` is another one. Called very often: look when it is time to show."""
        ...

    def end(self) -> None:
        """It is over, or was left: the last numbers are there. Called once, after `start`."""
        ...
