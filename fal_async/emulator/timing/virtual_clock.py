"""Virtual time: it moves on when only time is waited for, or by hand.

All timers are in one heap. A step goes to the earliest moment of the heap and calls what is due then, so all
happens in order. By itself, time moves only if there is work to go on with; ends before it happen on the way.
Before each step, the event loop must have been quiet for some of its turns, and all work that is under way must
sleep.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any

from fal_async.emulator.defaults import CLOCKS
from fal_async.emulator.timing.clock import Activity, Clock, ClockKind, Timer

logger: logging.Logger = logging.getLogger("fal_async.emulator")
_QUIET_TURNS = 20
"""Turns of the event loop without an event, in which clients in the same loop can go on."""
_LAST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
"""Seconds since the epoch: times after it have no date, so that nothing happens then."""
_WAY_OUT = (
    "it does something that is neither `job.sleep` nor `job.wait_for`, and virtual time waits for its end: sleep "
    "with `job.sleep`, and wait for an event of a test with `await job.wait_for(event.wait())`"
)


class VirtualTimer:
    """A function that is called at a moment."""

    __slots__ = ("_ended", "at", "callback", "is_work")

    def __init__(
        self,
        at: float,
        callback: Callable[[], object],
        *,
        is_work: bool,
        ended: Callable[[VirtualTimer], None],
    ) -> None:
        self.at: float = at
        self.is_work: bool = is_work
        self._ended = ended
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        if self.callback is not None:
            self.callback = None
            self._ended(self)

    def call(self) -> None:
        if (callback := self.callback) is not None:
            self.cancel()
            callback()


class VirtualActivity(Activity):
    """Work that keeps the time still from its begin to its end, except while it sleeps."""

    def __init__(self, clock: VirtualClock, name: str) -> None:
        super().__init__(clock, name)
        self._virtual = clock
        self._is_under_way = False
        self._sleeping = 0

    def __enter__(self) -> Activity:
        self._is_under_way = True
        self._tell()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._is_under_way = False
        self._tell()

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return await asyncio.sleep(0)
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self._virtual.after_work(seconds, self._wake, woken)
        self._sleep_more(1)
        try:
            await woken
        finally:
            timer.cancel()
            if not woken.done() or woken.cancelled():
                self._sleep_more(-1)

    def _wake(self, woken: asyncio.Future[None]) -> None:
        if not woken.done():
            self._sleep_more(-1)  # now, and not when its task goes on: no other step may come before
            woken.set_result(None)

    @contextmanager
    def pause(self) -> Iterator[None]:
        self._sleep_more(1)
        try:
            yield
        finally:
            self._sleep_more(-1)

    def _sleep_more(self, count: int) -> None:
        self._sleeping += count
        self._tell()

    def _tell(self) -> None:
        self._virtual.set_busy(self, self._is_under_way and not self._sleeping)


class VirtualClock(Clock):
    """Time that is moved by hand and, with `auto`, by itself.

    Args:
        auto: whether it moves by itself.
        warn_after: real seconds after which a warning says why the time stands still.
        step_limit: real seconds that work may take between two sleeps while time is moved by hand.
    """

    def __init__(self, *, auto: bool, warn_after: float = 5.0, step_limit: float = 10.0) -> None:
        super().__init__()
        self._warn_after, self._step_limit = warn_after, step_limit
        self.kind: ClockKind = "auto" if auto else "manual"
        self._now = time.time()
        self._timers: list[tuple[float, bool, int, VirtualTimer]] = []
        self._numbers = itertools.count()
        self._work_to_come = 0
        self._busy: set[VirtualActivity] = set()
        self._events = 0
        self._by_hand: list[tuple[float, float]] = []
        self._changed = asyncio.Event()
        self._moving = asyncio.Lock()
        self._driver: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._changed, self._moving = asyncio.Event(), asyncio.Lock()  # each belongs to one event loop
        if self.kind == "auto":
            self._driver = asyncio.get_running_loop().create_task(self._drive())

    async def close(self) -> None:
        if self._driver is not None:
            driver, self._driver = self._driver, None
            driver.cancel()
            await asyncio.wait([driver])

    def now(self) -> float:
        return self._now

    def moved_by_hand(self) -> list[tuple[float, float]]:
        return list(self._by_hand)

    def resume(self, now: float, by_hand: list[tuple[float, float]]) -> None:
        self._now, self._by_hand = now, by_hand

    def on_the_machine(self, moment: float) -> float:
        return moment - self._now + time.time()

    def is_over_unnoticed(self, began: float, lifetime: float) -> bool:
        """Return whether time was moved by hand beyond the end, or for the whole lifetime.

        What no client knows of doesn't end by itself: otherwise the result of a short request would have expired
        before its client asks for it, whenever a long request moves the time on.
        """
        if not self.is_over(began, lifetime):
            return False
        moved = sum(max(min(end, self._now) - max(start, began), 0.0) for start, end in self._by_hand)
        return moved >= lifetime or any(start < began + lifetime <= end for start, end in self._by_hand)

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.after_work(seconds, _resolve, woken)
        try:
            await woken
        finally:
            timer.cancel()

    def after_work(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        return self._add(seconds, partial(callback, *args), is_work=True)

    def at_end(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        return self._add(seconds, partial(callback, *args), is_work=False)

    def _add(self, seconds: float, callback: Callable[[], object], *, is_work: bool) -> Timer:
        timer = VirtualTimer(self._now + max(seconds, 0.0), callback, is_work=is_work, ended=self._ended)
        if timer.at < _LAST:
            # At the same moment, work comes before an end: what is done in time is not too late.
            heapq.heappush(self._timers, (timer.at, not is_work, next(self._numbers), timer))
            self._work_to_come += is_work
            self.stir()
        return timer

    def _ended(self, timer: VirtualTimer) -> None:
        self._work_to_come -= timer.is_work and timer.at < _LAST
        self.stir()

    def activity(self, name: str) -> Activity:
        return VirtualActivity(self, name)

    def set_busy(self, work: VirtualActivity, is_busy: bool) -> None:
        """Note whether some work keeps the time still."""
        (self._busy.add if is_busy else self._busy.discard)(work)
        self.stir()

    def stir(self) -> None:
        self._events += 1
        self._changed.set()

    async def advance(self, seconds: float) -> None:
        if not 0 <= seconds < _LAST - self._now:
            raise ValueError(f"advance({seconds}): expected seconds >= 0, up to the year 9999")
        async with self._moving:
            began, target = self._now, self._now + seconds
            self._by_hand.append((began, target))
            try:
                await self._settle()
                while (due := self._next_moment()) is not None and due <= target:
                    self._step()
                    await self._settle()
                self._now = target
            finally:
                self._by_hand[-1] = (began, self._now)

    async def _settle(self) -> None:
        """Wait until all work sleeps and the event loop is quiet; not for clients that never stop asking."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._step_limit):
                while self._busy or not await self._is_quiet():
                    if self._busy:
                        self._changed.clear()
                        await self._changed.wait()
        if self._busy:
            raise RuntimeError(f"time can't be moved, because of {self._names_of_busy()}: {_WAY_OUT}")

    async def _drive(self) -> None:
        """Move the time on whenever only time is waited for."""
        warned: set[str] = set()
        while True:
            await self._wait_for_sleep(warned)
            async with self._moving:
                if await self._is_quiet() and self._work_to_come and not self._busy:
                    self._step()

    async def _wait_for_sleep(self, warned: set[str]) -> None:
        """Wait until there is work to go on with, and all that is under way sleeps."""
        while self._busy or not self._work_to_come:
            self._changed.clear()
            blocked = self._work_to_come and self._names_of_busy()
            try:
                async with asyncio.timeout(self._warn_after if blocked and blocked not in warned else None):
                    await self._changed.wait()
            except TimeoutError:
                if blocked:
                    warned.add(blocked)
                    logger.warning("time stands still, because of %s: %s", blocked, _WAY_OUT)

    def _names_of_busy(self) -> str:
        return ", ".join(sorted({work.name for work in self._busy}))

    async def _is_quiet(self) -> bool:
        """Return whether nothing happens for some turns of the event loop."""
        for _ in range(_QUIET_TURNS):
            events = self._events
            await asyncio.sleep(0)
            if self._events != events:
                return False
        return True

    def _next_moment(self) -> float | None:
        while self._timers and self._timers[0][3].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _step(self) -> None:
        """Go to the next moment, and call what is due then: first the work, in another step the ends."""
        moment = self._next_moment()
        if moment is None:
            return
        self._now = max(self._now, moment)
        place = self._timers[0][:2]
        while self._timers and self._timers[0][:2] == place:
            heapq.heappop(self._timers)[3].call()


def clock_of(kind: ClockKind, speed: float) -> Clock:
    """Return a new clock. Raise ValueError for an unknown kind, and for a speed of virtual time."""
    if kind not in CLOCKS:
        raise ValueError(f"clock={kind!r}: expected one of {', '.join(CLOCKS)}")
    if kind == "real":
        return Clock(speed)
    if speed != 1:
        raise ValueError(f"speed={speed}: virtual time (clock={kind!r}) has no speed; leave it out")
    return VirtualClock(auto=kind == "auto")


def _resolve(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
