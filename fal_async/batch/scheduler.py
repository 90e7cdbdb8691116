"""Drives a batch: starts items as places get free, has their requests made, and holds the items that ended."""

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
"""Items that are started before the event loop gets a turn."""
_MAX_PUT_OFF = 10
"""Times `concurrency`: how many items held by other processes are put off before one of them is waited for."""


@attrs.define(kw_only=True, eq=False, repr=False)
class Scheduler:
    """One running batch.

    It has no reference to the user's `Batch`, so that a dropped `Batch` is garbage-collected, and ends the batch.

    Attributes:
        concurrency: most requests in flight. None is started, either, while that many ended items were not taken.
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
    """Items whose request has ended and that were not taken yet: their files may still be downloading."""
    _room: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _news: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _error: BaseException | None = attrs.field(default=None, init=False)
    """Raised once every item that had ended was taken."""
    _is_stopped: bool = attrs.field(default=False, init=False)
    _is_left: bool = attrs.field(default=False, init=False)
    _is_over: bool = attrs.field(default=False, init=False)

    def start(self) -> None:
        """Begin to read inputs."""
        self.tally.begin()
        self._feeder = self.loop.create_task(self._feed())
        self._feeder.add_done_callback(self._ended)

    async def next_item(self) -> BatchItem[Any]:
        """Return the next item that has ended.

        After the last one it raises the error that stopped the batch, once, and then StopAsyncIteration.
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

    # Leaving the batch.

    async def leave(self, *, patience: int = 2) -> None:
        """Cancel everything that runs, and wait until it has ended.

        A cancellation of this wait is raised at the end.

        Args:
            patience: which cancellation of this wait gives up the remote cancellations: the first, the second, ...
                One more ends the wait itself.
        """
        self.cancel()
        interrupted = await self._all_over(patience)
        self._finish()
        if interrupted:
            raise asyncio.CancelledError

    def cancel(self) -> None:
        """Cancel everything that runs, without waiting for it."""
        self._is_left = True
        self.maker.stop()
        current = asyncio.current_task(self.loop) if self.loop.is_running() else None
        for task in self._open_tasks(current):
            task.cancel()

    def drop(self) -> bool:
        """Cancel a batch that the user has dropped, soon. Return whether it was still running."""
        if self._is_over:
            return False
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.cancel)
        return True

    async def aclose(self) -> None:
        """End the batch because its session is closed."""
        if not self._is_over and self._error is None:
            self._error = SessionStateError("the session was closed before the batch had ended")
        await self.leave()

    async def _all_over(self, patience: int) -> bool:
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

    # Beginning items.

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
                self._stop(error)  # not cancelled by the batch itself: the program ends
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
        """Wait for a free place, and return the next item to start; None if all have been started."""
        while True:
            if self._in_flight < self.concurrency:
                if self._put_off and self._is_time_for_put_off():
                    return self._put_off.popleft()
                if self._is_exhausted and not self._tasks:
                    return None  # while a task runs, its item may still be put off
                if not self._is_exhausted and self._ahead < self.concurrency:
                    work = await self._next_input()
                    if work is not None:
                        return work
                    continue
            self._room.clear()
            await self._room.wait()

    async def _next_input(self) -> Work | None:
        """Read the next input. If `inputs` raises, it is treated as exhausted: running items go on to their end."""
        work = None
        try:
            work = await self.works.next()
        except Exception as error:
            self._error = self._error or error
        self._is_exhausted = work is None
        return work

    def _is_time_for_put_off(self) -> bool:
        """Return whether to go on with an item that was put off: others may wait for it, if `ordered`."""
        too_many = len(self._put_off) >= _MAX_PUT_OFF * self.concurrency
        return self._is_exhausted or too_many or (self.ready.is_stuck and self._ahead >= self.concurrency)

    # One item.

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
        """Return how the item's request ended; None if it was put off, or is not to be started any more."""
        try:
            if self._is_stopped:
                return None  # stopped before this task ran for the first time
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

    # The end.

    def _stop(self, error: BaseException) -> None:
        """Read no more inputs and submit nothing more. Open requests go on to their end; then raise `error`."""
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
            task.exception()  # marks it as retrieved: it was reported where it belongs
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
