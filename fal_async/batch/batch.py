"""`Batch`: what `fal.map` gives."""

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
    """Many inputs for one endpoint, each with its result or its error, as they end.

    `async with fal.map(...) as batch:`, and `async for item in batch:` in it. It can be iterated once. Nothing is
    sent before it is asked for its first item.

    Leaving the block early, by `break`, by an error or by a cancellation, ends the batch, and so does closing the
    session: each request that is under way is cancelled, once; with a ledger only what waits in the queue. A second
    Ctrl-C waits for none of it.
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
        return self._arguments.endpoint.full

    @property
    def summary(self) -> BatchSummary:
        """How far it is, now."""
        return self._tally.summary()

    def __repr__(self) -> str:
        return f"<Batch of {self.endpoint_id}: {self._tally.ended} of {self._tally.total or '?'} ended>"

    async def collect(self) -> list[BatchItem[T]]:
        """All items, in the order of the inputs; failed ones are among them. It keeps all of them in memory.

        Raises what iterating raises; what had ended by then is lost to the caller, unless `on_item` took it, or
        a ledger has it.
        """
        items = [item async for item in self]
        return sorted(items, key=lambda item: item.index)

    async def aclose(self) -> None:
        """Leave it: end what is under way, and wait for that, some seconds at most. Closing twice is no error."""
        await self._leave(patience=2)

    async def __aenter__(self) -> Self:
        if self._entered or self._closed:
            raise SessionStateError("this batch was used: make another one, with fal.map(...)")
        self._entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave(patience=1 if isinstance(error, asyncio.CancelledError) else 2)

    def __aiter__(self) -> Self:
        if self._iterated:
            raise SessionStateError("this batch was iterated: make another one, with fal.map(...)")
        self._iterated = True
        return self

    async def __anext__(self) -> BatchItem[T]:
        """The next item. What stops the batch is raised when all that had ended was given.

        Cancelling it ends the batch, as leaving its block does.
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
        """A bare `break` tells nobody that the batch was left."""
        scheduler = self.__dict__.get("_scheduler")
        if scheduler is None:
            if self.__dict__.get("_closed") is False:
                _warn(f"{self!r} was never iterated: nothing was sent", ResourceWarning, source=self)
        elif scheduler.drop():
            _warn(
                f"{self!r} was left: use `async with fal.map(...) as batch`, or `await batch.aclose()`",
                ResourceWarning,
                source=self,
            )


def _nothing() -> None:
    """In place of a display."""
