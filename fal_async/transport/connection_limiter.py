"""Limits how many HTTP requests of one kind use a connection at the same time. `Pool` sets the limit."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from itertools import takewhile
from types import TracebackType

from fal_async.errors import TransportTimeoutError

logger: logging.Logger = logging.getLogger("fal_async")

_NEWCOMERS_WAIT = 0.5
"""Seconds that a new request waits for an open connection, since opening another takes as long as a request."""


class ConnectionLimiter:
    """Hands out `limit` places, first come, first served. Each place is the right to use one connection.

    `async with limiter:` takes a place for the block; use `acquire` and `release` to keep it beyond a block. The
    first `eager` places are handed out at once. When these are taken, a new request waits up to 0.5 s for another
    request to release its place, and thereby an open connection. It waits longer only while places are released as
    fast as new requests come. So a thousand quick calls share a hundred connections, while a thousand long calls
    soon have one each.

    `limit`: the number of places. `eager`: default `limit`. `what`: names the connections in errors and warnings.
    `warn_after`: a warning is logged when a request has waited for this many seconds; default 30.
    """

    def __init__(
        self, limit: int, eager: int | None = None, *, what: str = "", warn_after: float = 30.0
    ) -> None:
        self._limit, self._what, self._warn_after = limit, what or f"{limit} connections", warn_after
        self._eager = limit if eager is None else min(eager, limit)
        self._taken = 0
        self._waiting: deque[tuple[float, asyncio.Future[None], float]] = deque()  # since, turn, patience
        self._freed = 0  # places that were released and given to a waiting request since `_look` last ran
        self._look_is_due = False
        self._moved_at = self._warned_at = -math.inf
        self._watch_at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    @property
    def taken(self) -> int:
        """How many places are taken now."""
        return self._taken

    async def acquire(self, *, first: bool = False, patience: float | None = None) -> None:
        """Take a place, as soon as one is free. If this call is cancelled, no place is taken.

        `first`: whether to go before all waiting requests; default False. It is for a request that had a place
        before, and is sent again with a renewed API key.
        `patience`: raise TransportTimeoutError if not a single place became free for this many seconds. While
        places become free, a request may wait longer than that. None (default): no limit.
        """
        if self._taken < self._eager and not self._waiting:
            self._taken += 1
            return
        loop = asyncio.get_running_loop()
        turn, now = loop.create_future(), loop.time()
        patience = math.inf if patience is None else patience
        if first and self._waiting:
            self._waiting.appendleft((self._waiting[0][0], turn, patience))
        else:
            self._waiting.append((now, turn, patience))
        self._look_later(loop)
        self._watch_from(loop, now + min(patience, self._warn_after))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.release()  # the place was granted in the same step: pass it on
            raise

    def _watch_from(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        """Call `_watch` at `when` at the latest. One timer serves all waiting requests."""
        if when < self._watch_at:
            if self._timer is not None:
                self._timer.cancel()
            self._watch_at, self._timer = when, loop.call_at(when, self._watch, loop)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Raise in requests whose patience has passed, and log a warning if requests have waited for too long."""
        now, self._watch_at = loop.time(), math.inf
        row = [one for one in self._waiting if not one[1].done()]
        if not row:
            return
        next_warning_at = max(min(since for since, _, _ in row), self._warned_at) + self._warn_after
        if now >= next_warning_at:
            self._warn(row, now)
            next_warning_at = now + self._warn_after
        for since, turn, patience in row:
            give_up_at = max(since, self._moved_at) + patience
            if now >= give_up_at:
                words = f"waited {now - since:.0f} s for one of {self._what}, and none became free"
                turn.set_exception(TransportTimeoutError(f"{words}: raise max_connections="))
            else:
                self._watch_from(loop, give_up_at)
        self._watch_from(loop, next_warning_at)

    def _warn(self, row: list[tuple[float, asyncio.Future[None], float]], now: float) -> None:
        self._warned_at = now
        logger.warning(
            "%d requests wait for one of %s, the first for %.0f s: raise max_connections= if that is too long",
            len(row),
            self._what,
            now - min(since for since, _, _ in row),
        )

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._look_is_due and self._eager < self._limit:
            self._look_is_due, self._freed = True, 0
            loop.call_later(_NEWCOMERS_WAIT, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand out further places to requests that have waited for too long.

        It is assumed that as many places will be released until the next call as since the last one. The overdue
        requests for which these do not suffice get an additional place each.
        """
        self._look_is_due = False
        latest = loop.time() - _NEWCOMERS_WAIT / 2
        overdue = sum(
            not turn.done() for _, turn, _ in takewhile(lambda one: one[0] <= latest, self._waiting)
        )
        for _ in range(overdue - self._freed):
            if self._taken == self._limit or not self._serve_next():
                break
        if self._waiting and self._taken < self._limit:
            self._look_later(loop)

    def release(self) -> None:
        """Release a place. The first waiting request gets it."""
        self._taken -= 1
        if self._taken < self._limit and self._serve_next():
            self._freed += 1

    def _serve_next(self) -> bool:
        """Give a place to the first waiting request. Return False if no request waits."""
        while self._waiting:
            _, turn, _ = self._waiting.popleft()
            if not turn.done():  # else cancelled while it waited
                self._taken += 1
                self._moved_at = turn.get_loop().time()
                turn.set_result(None)
                return True
        return False
