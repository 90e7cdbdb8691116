"""What keeps a batch going: begins items as places get free, has their requests made, and holds what ended."""

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
_A_BREATH = 64
"""Items that are begun without letting the loop do anything else."""
_PUT_OFF = 10
"""Times `concurrency`: so many items that other processes have are kept for later, before one is waited for."""


@attrs.define(kw_only=True, eq=False, repr=False)
class Scheduler:
    """One batch under way. It does not know the `Batch` that its user holds, so that one that is dropped shows.

    Attributes:
        concurrency: requests in flight at most. No more are begun where as many items have ended untaken.
        over: called, once, when nothing is under way any more.
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
    """Items that have ended, and were not taken yet: their files may still be on their way."""
    _room: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _news: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _error: BaseException | None = attrs.field(default=None, init=False)
    """What is raised once all that ended was given."""
    _is_stopped: bool = attrs.field(default=False, init=False)
    _is_left: bool = attrs.field(default=False, init=False)
    _is_over: bool = attrs.field(default=False, init=False)

    def start(self) -> None:
        """Begin to ask for inputs."""
        self.tally.begin()
        self._feeder = self.loop.create_task(self._feed())
        self._feeder.add_done_callback(self._ended)

    async def next_item(self) -> BatchItem[Any]:
        """The next one that has ended. StopAsyncIteration after the last; before it, what stopped the batch."""
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

    # How it is left.

    async def leave(self, *, patience: int = 2) -> None:
        """End what is under way, and wait for that. A cancellation that comes meanwhile is raised at the end.

        `patience`: with the cancellation of this number, remote requests are not cancelled any more.
        """
        self.cancel()
        interrupted = await self._all_over(patience)
        self._finish()
        if interrupted:
            raise asyncio.CancelledError

    def cancel(self) -> None:
        """End what is under way, without waiting for it."""
        self._is_left = True
        self.maker.stop()
        current = asyncio.current_task(self.loop) if self.loop.is_running() else None
        for task in self._open_tasks(current):
            task.cancel()

    def drop(self) -> bool:
        """Nobody holds the batch any more. Whether it was still under way: then it is ended, soon."""
        if self._is_over:
            return False
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.cancel)
        return True

    async def aclose(self) -> None:
        """For the session, which is being closed."""
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
                self._stop(error)  # somebody else did it: the program ends
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
            if begun % _A_BREATH == 0:
                await asyncio.sleep(0)

    async def _next_work(self) -> Work | None:
        """When there is a place for it. None: all have been begun."""
        while True:
            if self._in_flight < self.concurrency:
                if self._put_off and self._is_time_for_put_off():
                    return self._put_off.popleft()
                if self._is_exhausted and not self._tasks:
                    return None  # one of them might still have been put off
                if not self._is_exhausted and self._ahead < self.concurrency:
                    work = await self._asked_for()
                    if work is not None:
                        return work
                    continue
            self._room.clear()
            await self._room.wait()

    async def _asked_for(self) -> Work | None:
        """Inputs that fail have an end: what is under way goes on."""
        work = None
        try:
            work = await self.works.next()
        except Exception as error:
            self._error = self._error or error
        self._is_exhausted = work is None
        return work

    def _is_time_for_put_off(self) -> bool:
        """Also where those after it wait for it, in the order of the inputs."""
        too_many = len(self._put_off) >= _PUT_OFF * self.concurrency
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
        """None where it is put off, or not begun any more."""
        try:
            if self._is_stopped:
                return None  # before its first step
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
        """None where its error is not its own, but stops the batch; or where it is to be made anew."""
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
        """Ask for no more inputs, and submit nothing more. What is under way ends; then `error` is raised."""
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
            task.exception()  # it was told where it belongs
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
