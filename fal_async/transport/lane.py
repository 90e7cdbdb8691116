"""How many requests of one kind hold a connection at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

_PATIENCE = 0.5
"""Seconds. Opening a connection costs as much as a whole request on one that is there."""


class Lane:
    """`async with lane:` holds one of `limit` places; who comes first is served first.

    The first `eager` ones are had at once. Beyond them a newcomer first waits a moment for a place (and so for
    an open connection) that gets free: a thousand quick calls share a hundred connections, while a thousand
    long ones soon have one each.
    """

    def __init__(self, limit: int, eager: int | None = None) -> None:
        self._limit = limit
        self._eager = limit if eager is None else min(eager, limit)
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self._taken < self._eager and not self._waiting:
            self._taken += 1
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        timer = loop.call_later(_PATIENCE, self._no_longer_patient, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()  # the turn had come in the same step: somebody else gets it
            raise
        finally:
            timer.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def _no_longer_patient(self, turn: asyncio.Future[None]) -> None:
        # Where all places are taken it goes on waiting in its turn.
        if self._taken < self._limit and not turn.done():
            self._waiting.remove(turn)
            self._taken += 1
            turn.set_result(None)

    def _release(self) -> None:
        self._taken -= 1
        while self._waiting and self._taken < self._limit:
            turn = self._waiting.popleft()
            if not turn.done():  # else cancelled while it waited
                self._taken += 1
                turn.set_result(None)
                return
