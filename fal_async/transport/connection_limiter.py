"""Holds requests of one kind to a number of places. `Pool` says how many places there are."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import takewhile
from types import TracebackType

_NEWCOMERS_WAIT = 0.5
"""Seconds. Opening a connection costs as much as a whole request on one that is there."""


class ConnectionLimiter:
    """`async with limiter:` holds one of `limit` places, first come, first served. `acquire` and `release` do so
    where the place outlives the block.

    The first `eager` places are given at once. Above them a new request waits up to 0.5 s for a place (and so
    for an open connection) that is released, and longer while these are released at the rate of demand: a
    thousand quick calls share a hundred connections, while a thousand long ones soon have one each.
    """

    def __init__(self, limit: int, eager: int | None = None) -> None:
        self._limit = limit
        self._eager = limit if eager is None else min(eager, limit)
        self._taken = 0
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._freed = 0  # and handed on, since the last look
        self._look_is_due = False

    @property
    def taken(self) -> int:
        """Places that are held now."""
        return self._taken

    async def acquire(self, *, first: bool = False) -> None:
        """Take a place. A cancelled wait takes none.

        `first`: before all that wait. For a request that was served already, and comes again with another key.
        """
        if self._taken < self._eager and not self._waiting:
            self._taken += 1
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        if first and self._waiting:
            self._waiting.appendleft((self._waiting[0][0], turn))
        else:
            self._waiting.append((loop.time(), turn))
        self._look_later(loop)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # the turn had come in the same step: somebody else gets it
            raise

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
        """As many got free meanwhile, as many will until the next look: the others get places of their own."""
        self._look_is_due = False
        latest = loop.time() - _NEWCOMERS_WAIT / 2
        overdue = sum(not turn.done() for _, turn in takewhile(lambda one: one[0] <= latest, self._waiting))
        for _ in range(overdue - self._freed):
            if self._taken == self._limit or not self._serve_next():
                break
        if self._waiting and self._taken < self._limit:
            self._look_later(loop)

    def release(self) -> None:
        """Give a place back."""
        self._taken -= 1
        if self._taken < self._limit and self._serve_next():
            self._freed += 1

    def _serve_next(self) -> bool:
        while self._waiting:
            _, turn = self._waiting.popleft()
            if not turn.done():  # else cancelled while it waited
                self._taken += 1
                turn.set_result(None)
                return True
        return False
