"""The limits for following requests in one session: concurrent polls, polls per second, and open status streams."""

from __future__ import annotations

import asyncio
import heapq
import itertools

import attrs

MAX_AT_ONCE = 64
MAX_PER_SECOND = 2000.0
_BURST = 64
_HEAD_START = 2.0
"""Seconds by which a poll that is likely to find its request completed is treated as due earlier.

Polls are sent in the order of their due times. Because the number is fixed, no poll waits forever."""


class PollLimiter:
    """Limits concurrent polls and polls per second, so that 10,000 subscribers poll less often, but don't overload.

    Call `enter` before each poll and `leave` after it. Submits and result fetches are not limited here.

    Args:
        at_once: the most polls at the same time; default 64.
        per_second: the most polls per second; default 2,000. A burst of 64 may exceed it.
    """

    def __init__(self, *, at_once: int = MAX_AT_ONCE, per_second: float = MAX_PER_SECOND) -> None:
        self._free = at_once
        self._interval = 1.0 / per_second
        self._earliest = 0.0  # when the next poll fits into the rate, if the burst is used up
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self, *, likely: bool) -> None:
        """Wait until the next poll is allowed. `likely`: whether the request is likely to be completed by now."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if not self._waiting and self._free and self._fits(now):
            self._take(now)
            return
        turn = loop.create_future()
        due = now - _HEAD_START if likely else now
        heapq.heappush(self._waiting, (due, next(self._order), turn))
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # the turn was granted in the same step: pass it on
            raise

    def leave(self) -> None:
        self._free += 1
        self._serve()

    def _fits(self, now: float) -> bool:
        return self._earliest - now <= _BURST * self._interval

    def _take(self, now: float) -> None:
        self._free -= 1
        self._earliest = max(self._earliest, now) + self._interval

    def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and self._free:
            if self._waiting[0][2].done():  # cancelled while it waited
                heapq.heappop(self._waiting)
                continue
            now = loop.time()
            if not self._fits(now):
                self._serve_later(loop, self._earliest - _BURST * self._interval)
                return
            self._take(now)
            heapq.heappop(self._waiting)[2].set_result(None)

    def _serve_later(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if self._timer is None:
            self._timer = loop.call_at(when, self._timer_rang)

    def _timer_rang(self) -> None:
        self._timer = None
        self._serve()


class StreamLimiter:
    """Limits how many status streams are open at the same time."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self) -> bool:
        """Reserve a place for one more stream. Return False if none is free; nothing is reserved then."""
        if self._left <= 0:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        self._left += 1


@attrs.frozen(kw_only=True, eq=False)
class Limits:
    """The limits that a session and its views share."""

    polls: PollLimiter
    streams: StreamLimiter
