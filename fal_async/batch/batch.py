"""`Batch`: what `fal.map` returns."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Self

from fal_async.batch.arguments import BatchArguments
from fal_async.batch.composition import Lent, composed
from fal_async.batch.display import Display
from fal_async.batch.inputs import Inputs
from fal_async.batch.item import BatchItem
from fal_async.batch.scheduler import Scheduler
from fal_async.batch.summary import BatchSummary, Tally
from fal_async.errors import SessionStateError, short_tracebacks
from fal_async.models import T


@short_tracebacks
class Batch(Generic[T]):
    """Many inputs for one endpoint: an async iterator over their items, each with its result or its error.

    Write `async with fal.map(...) as batch:` and, inside it, `async for item in batch:`. Nothing is sent before the
    first item is asked for. A batch can be iterated once.

    Leaving the block early, by `break`, an error or a cancellation, ends the batch, and so does closing the
    session. Without a ledger each open request is cancelled, once. With a ledger only requests that wait in fal's
    queue are cancelled, and the next run takes up the others; `cancel_on_exit=True` cancels all. A second
    cancellation, such as a second Ctrl-C, no longer waits for any of this.
    """

    def __init__(self, arguments: BatchArguments, lent: Callable[[], Lent], display: Display | None) -> None:
        self._arguments, self._lent, self._display = arguments, lent, display
        self._inputs = Inputs(arguments.inputs)
        changed = _nothing if display is None else display.changed
        self._tally = Tally(self._inputs.total, time.monotonic, changed)
        self._scheduler: Scheduler | None = None
        self._iterated = self._entered = self._closed = False

    @property
    def endpoint_id(self) -> str:
        """The endpoint that the inputs are sent to, such as `"fal-ai/flux/dev"`."""
        return self._arguments.endpoint.full

    @property
    def summary(self) -> BatchSummary:
        """The numbers of this batch now. Reading them costs almost nothing, at any time."""
        return self._tally.summary()

    def __repr__(self) -> str:
        return f"<Batch of {self.endpoint_id}: {self._tally.ended} of {self._tally.total or '?'} ended>"

    async def collect(self) -> list[BatchItem[T]]:
        """Run the batch to its end and return all items, which are kept in memory.

        Cancelling it ends the batch, as leaving its block does.

        Returns:
            One item for each input, failed ones included, in the order of the inputs.

        Raises:
            FalError: what iterating raises (see `fal.map`), when the batch is stopped. The items that had ended by
                then are not returned: only `on_item` and the ledger have them.
            SessionStateError: the batch was iterated or closed before, or belongs to another event loop.
        """
        items = [item async for item in self]
        return sorted(items, key=lambda item: item.index)

    async def aclose(self) -> None:
        """End the batch: cancel its requests as leaving the block does, and wait for that, a few seconds at most.

        Closing twice is allowed. Cancelling it does not stop the work; a second cancellation gives up the remote
        cancellations.

        Raises:
            asyncio.CancelledError: it was cancelled; raised when the work has ended.
        """
        await self._leave(patience=2)

    async def __aenter__(self) -> Self:
        """Return the batch itself. Raises SessionStateError if it was entered or closed before."""
        if self._entered or self._closed:
            raise SessionStateError("this batch was used before: make another one with fal.map(...)")
        self._entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the batch, as `aclose` does."""
        await self._leave(patience=1 if isinstance(error, asyncio.CancelledError) else 2)

    def __aiter__(self) -> Self:
        """Return the batch itself. Raises SessionStateError if it was iterated or closed before."""
        if self._iterated:
            raise SessionStateError("this batch was iterated before: make another one with fal.map(...)")
        self._iterated = True
        return self

    async def __anext__(self) -> BatchItem[T]:
        """Return the next item that has ended.

        Cancelling it ends the batch, as leaving its block does.

        Raises:
            StopAsyncIteration: there are no more items, or the batch was closed.
            FalError: what stopped the batch (see `fal.map`), once every item that had ended was returned. An
                exception of `inputs`, `key` or `on_item` is raised in the same place, as it is.
            SessionStateError: the batch belongs to another event loop.
        """
        if self._closed:
            raise StopAsyncIteration
        try:
            return await self._started().next_item()
        except asyncio.CancelledError:
            await self._leave(patience=1)
            raise

    def _started(self) -> Scheduler:
        scheduler = self._scheduler
        if scheduler is None:
            parts = (self._arguments, self._lent(), self._inputs, self._tally, self._display)
            scheduler = self._scheduler = composed(*parts)
            if self._display is not None:
                self._display.start(self)
            scheduler.start()
        elif scheduler.loop is not asyncio.get_running_loop():
            raise SessionStateError("this batch belongs to another event loop")
        return scheduler

    async def _leave(self, patience: int) -> None:
        self._closed = self._iterated = True
        if self._scheduler is None:
            await self._inputs.aclose()
        else:
            await self._scheduler.leave(patience=patience)

    def __del__(self, _warn: Any = warnings.warn) -> None:
        """End a batch that was left by a bare `break`, without `async with`, and warn of it."""
        scheduler = self.__dict__.get("_scheduler")
        if scheduler is None:
            if self.__dict__.get("_closed") is False:
                _warn(f"{self!r} was never iterated: nothing was sent", ResourceWarning, source=self)
        elif scheduler.drop():
            _warn(
                f"{self!r} was left unclosed: use `async with fal.map(...) as batch`, or `await batch.aclose()`",
                ResourceWarning,
                source=self,
            )


def _nothing() -> None:
    """Do nothing: the callback of a batch without a display."""
