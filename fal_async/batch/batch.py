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
    """The items of a `fal.map` call: an async iterator that yields one for each input, with its result or error.

    Write `async with fal.map(...) as batch:` and, inside it, `async for item in batch:`. Nothing is sent before the
    first item is requested. A batch can be iterated once.

    The batch stops early if its block is left by `break`, an error or a cancellation, or if the session is closed.
    Nothing more is submitted then. Without a ledger, each open request is cancelled on fal, once. With a ledger,
    only requests that wait in fal's queue are cancelled, and the next run follows the others;
    `cancel_on_exit=True` cancels all. Leaving the block waits a few seconds at most for these cancellations; after
    a second cancellation of the task, such as a second Ctrl-C, it does not wait for them.
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
        """The current numbers of this batch. It may be read at any time, and as often as you like."""
        return self._tally.summary()

    def __repr__(self) -> str:
        return f"<Batch of {self.endpoint_id}: {self._tally.ended} of {self._tally.total or '?'} ended>"

    async def collect(self) -> list[BatchItem[T]]:
        """Run the batch to its end and return all items. They are all kept in memory.

        Cancelling this call stops the batch, as leaving its block does.

        Returns:
            One item for each input, failed ones included, in the order of the inputs.

        Raises:
            FalError: the error that stopped the batch; the same as iterating raises (see `fal.map`). Items that
                were complete by then are not returned, but `on_item` was called with them, and a ledger has stored
                them.
            SessionStateError: the batch was iterated or closed before, or belongs to another event loop.
        """
        items = [item async for item in self]
        return sorted(items, key=lambda item: item.index)

    async def aclose(self) -> None:
        """Stop the batch: cancel its requests as leaving the block does, and wait for that, a few seconds at most.

        Calling it twice is allowed. If this call is cancelled, it still waits for the requests to be cancelled on
        fal; after a second cancellation it does not.

        Raises:
            asyncio.CancelledError: this call was cancelled; raised after the batch has stopped.
        """
        await self._leave(patience=2)

    async def __aenter__(self) -> Self:
        """Return the batch itself. Raises SessionStateError if it was entered or closed before."""
        if self._entered or self._closed:
            raise SessionStateError("this batch was used before: create another one with fal.map(...)")
        self._entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the batch, as `aclose` does. If it is complete, there is nothing to do."""
        await self._leave(patience=1 if isinstance(error, asyncio.CancelledError) else 2)

    def __aiter__(self) -> Self:
        """Return the batch itself. Raises SessionStateError if it was iterated or closed before."""
        if self._iterated:
            raise SessionStateError("this batch was iterated before: create another one with fal.map(...)")
        self._iterated = True
        return self

    async def __anext__(self) -> BatchItem[T]:
        """Wait for the next item that has its result or error, and return it.

        Cancelling this call stops the batch, as leaving its block does.

        Raises:
            StopAsyncIteration: there are no more items, or the batch was closed.
            FalError: the error that stopped the batch (see `fal.map`). It is raised after all complete items were
                returned.
            SessionStateError: the batch belongs to another event loop, or the session was closed.
            Exception: whatever `inputs`, `key` or `on_item` raised; also after all complete items were returned.
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
        """Stop a batch that was left by a bare `break`, without `async with`, and issue a ResourceWarning."""
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
    """Do nothing. This is the callback of a batch without a display."""
