"""Drives a batch: starts an item whenever `concurrency` allows, and keeps complete items until they are yielded."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs

from fal_async.batch.item import BatchItem
from fal_async.batch.item_maker import ItemMaker
from fal_async.batch.ready_items import ReadyItems
from fal_async.batch.requests.request_maker import Outcome, RequestMaker, Work
from fal_async.batch.stopping import ends_all
from fal_async.batch.summary import Tally
from fal_async.batch.works import Works
from fal_async.callbacks import call_back
from fal_async.errors import SessionStateError

logger: logging.Logger = logging.getLogger("fal_async")

ItemCallback = Callable[[BatchItem[Any]], Awaitable[None] | None]
_YIELD_EVERY = 64
"""Number of items that are started before other tasks of the event loop may run."""
_MAX_PUT_OFF = 10
"""Times `concurrency`: how many items are put off, because another process follows their request, at most."""


@attrs.define(kw_only=True, eq=False, repr=False)
class Scheduler:
    """One running batch.

    It has no reference to the user's `Batch`, so that a `Batch` to which the program has no reference any more is
    garbage-collected, which stops the scheduler.

    Attributes:
        concurrency: maximum number of requests in flight, and of complete items that were not yielded yet. If
            either is reached, no further request is started.
        over: functions to call, once, when the batch has ended.
    """

    works: Works
    maker: RequestMaker
    items: ItemMaker
    ready: ReadyItems
    tally: Tally
    concurrency: int
    on_item: ItemCallback | None
    over: Sequence[Callable[[], None]]
    loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.get_running_loop, init=False)
    _feeder: asyncio.Task[None] | None = attrs.field(default=None, init=False)
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set, init=False)
    _put_off: deque[Work] = attrs.field(factory=deque, init=False)
    _is_exhausted: bool = attrs.field(default=False, init=False)
    _in_flight: int = attrs.field(default=0, init=False)
    _ahead: int = attrs.field(default=0, init=False)
    """Number of items whose request has ended and that were not yielded yet. Files may still be downloading."""
    _room: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _news: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _error: BaseException | None = attrs.field(default=None, init=False)
    """The error that stopped the batch. It is raised after all complete items were yielded."""
    _is_stopped: bool = attrs.field(default=False, init=False)
    _is_left: bool = attrs.field(default=False, init=False)
    _is_over: bool = attrs.field(default=False, init=False)

    def start(self) -> None:
        """Begin to read inputs."""
        self.tally.begin()
        self._feeder = self.loop.create_task(self._feed())
        self._feeder.add_done_callback(self._ended)

    async def next_item(self) -> BatchItem[Any]:
        """Wait for the next complete item, and return it.

        After the last item it raises the error that stopped the batch, once, and then StopAsyncIteration.
        """
        while (item := self.ready.take()) is None:
            if self._is_over:
                error, self._error = self._error, None
                if error is not None:
                    raise error
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        self._give_back_ahead()
        return item

    # Leaving the batch early.

    async def leave(self, *, patience: int = 2) -> None:
        """Cancel all tasks of the batch, and wait until they have ended.

        If this wait is cancelled, CancelledError is raised after the tasks have ended.

        Args:
            patience: how many cancellations of this wait it takes until it no longer waits for requests to be
                cancelled on fal. One cancellation more stops the wait itself.
        """
        self.cancel()
        interrupted = await self._all_over(patience)
        self._finish()
        if interrupted:
            raise asyncio.CancelledError

    def cancel(self) -> None:
        """Cancel all tasks of the batch, without waiting for them."""
        self._is_left = True
        self.maker.stop()
        current = asyncio.current_task(self.loop) if self.loop.is_running() else None
        for task in self._open_tasks(current):
            task.cancel()

    def drop(self) -> bool:
        """Schedule the cancellation of a batch that was garbage-collected. Return whether it was still running."""
        if self._is_over:
            return False
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.cancel)
        return True

    async def aclose(self) -> None:
        """Stop the batch because its session is closed."""
        if not self._is_over and self._error is None:
            self._error = SessionStateError("the session was closed before the batch had ended")
        await self.leave()

    async def _all_over(self, patience: int) -> bool:
        """Wait until all tasks have ended. Return whether this wait was cancelled; `patience`: see `leave`."""
        interrupted = False
        while pending := self._open_tasks(asyncio.current_task()):
            try:
                await asyncio.wait(pending)
            except asyncio.CancelledError:
                interrupted = True
                patience -= 1
                if patience == 0:
                    self.maker.hurry()
                elif patience < 0:
                    break
        return interrupted

    # Starting items. One task, the feeder, reads the inputs; each item has its own task.

    async def _feed(self) -> None:
        try:
            try:
                await self.items.begin()
                await self.maker.begin()
                await self.works.begin()
                await self._begin_all()
                await self.maker.finish()
            finally:
                await self.maker.aclose()
                await self.works.aclose()
        except asyncio.CancelledError as error:
            if not (self._is_stopped or self._is_left):
                self._stop(error)  # cancelled from outside: for example, asyncio.run is ending the program
                raise
        except BaseException as error:
            self._stop(error)
            if not isinstance(error, Exception):
                raise

    async def _begin_all(self) -> None:
        begun = 0
        while (work := await self._next_work()) is not None:
            self._in_flight += 1
            task = self.loop.create_task(self._item(work))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
            begun += 1
            if begun % _YIELD_EVERY == 0:
                await asyncio.sleep(0)

    async def _next_work(self) -> Work | None:
        """Wait until a request may be started, and return the next item to start; None if all were started."""
        while True:
            if self._in_flight < self.concurrency:
                if self._put_off and self._is_time_for_put_off():
                    return self._put_off.popleft()
                if self._is_exhausted and not self._tasks:
                    return None  # not earlier, because the item of a running task may still be put off
                if not self._is_exhausted and self._ahead < self.concurrency:
                    work = await self._next_input()
                    if work is not None:
                        return work
                    continue
            self._room.clear()
            await self._room.wait()

    async def _next_input(self) -> Work | None:
        """Read the next input; None after the last.

        If `inputs` raises, it is treated as exhausted: running items still get their outcomes, and then the batch
        raises that exception.
        """
        work = None
        try:
            work = await self.works.next()
        except Exception as error:
            self._error = self._error or error
        self._is_exhausted = work is None
        return work

    def _is_time_for_put_off(self) -> bool:
        """Return whether to start an item that was put off. If `ordered`, complete items may be waiting for it."""
        too_many = len(self._put_off) >= _MAX_PUT_OFF * self.concurrency
        return self._is_exhausted or too_many or (self.ready.is_stuck and self._ahead >= self.concurrency)

    # The task of one item.

    async def _item(self, work: Work) -> None:
        item: BatchItem[Any] | None = None
        try:
            outcome = await self._outcome(work)
            if outcome is None:
                return
            item = await self._made(work, outcome)
            if item is not None:
                await call_back(self.on_item, item)
        except BaseException as error:
            if self._is_left:
                raise
            self._stop(error)
            self.cancel()
            if not isinstance(error, Exception):
                raise
        finally:
            self._settled(work, item)

    async def _outcome(self, work: Work) -> Outcome | None:
        """Return the outcome of the item's request; None if the item was put off, or the batch was stopped."""
        try:
            if self._is_stopped:
                return None  # the batch was stopped before this task ran for the first time
            outcome = await self.maker.outcome(work) if work.refused is None else Outcome(error=work.refused)
        finally:
            work.enter("none")
            self._in_flight -= 1
            self._ahead += 1
            self._room.set()
        if not outcome.held:
            return outcome
        work.patient = True
        self._put_off.append(work)
        return None

    async def _made(self, work: Work, outcome: Outcome) -> BatchItem[Any] | None:
        """Return the item; None if its error stops the whole batch, or if it must be submitted again."""
        error = ends_all(outcome, accepted=self.tally.accepted)
        if error is not None:
            self._stop(error)
            return None
        item = await self.items.item(work, outcome)
        if item is None:
            self._put_off.append(work)
        if (error := self.items.too_many_failures()) is not None:
            self._stop(error)
        return item

    def _settled(self, work: Work, item: BatchItem[Any] | None) -> None:
        if item is not None:
            self.ready.put(item)
        else:
            self._give_back_ahead()
            if work not in self._put_off:
                self.ready.skip(work.index)
        self._news.set()

    def _give_back_ahead(self) -> None:
        self._ahead -= 1
        self._room.set()

    # Stopping, and the end.

    def _stop(self, error: BaseException) -> None:
        """Read no more inputs and submit nothing more.

        Open requests are followed until they have their outcome; then the iterator raises `error`.
        """
        if self._error is None:
            self._error = error
        self._is_stopped = True
        self.maker.stop()
        if self._feeder is not None and self._feeder is not asyncio.current_task():
            self._feeder.cancel()

    def _open_tasks(self, current: asyncio.Task[Any] | None) -> list[asyncio.Task[None]]:
        feeder = [] if self._feeder is None else [self._feeder]
        return [task for task in (*feeder, *self._tasks) if task is not current and not task.done()]

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.set()
        if not task.cancelled():
            task.exception()  # marks it as retrieved; `_stop` has stored it, and the iterator raises it
        elif not (self._is_stopped or self._is_left):
            # Other code has cancelled it, perhaps before its first step: asyncio.run may be ending the program.
            self._stop(asyncio.CancelledError())
        if not self._tasks and self._feeder is not None and self._feeder.done():
            self._finish()

    def _finish(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self.ready.flush()
        self.tally.end()
        for function in self.over:
            function()
        if (words := self.maker.left()) is not None:
            logger.warning("%s", words)
        self._news.set()
