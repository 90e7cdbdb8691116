"""Messages between the task that reads a connection and the one that wants them: bounded, with an end."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from fal_async.errors import FalError, SessionStateError

END = object()
"""What `get` gives once everything was taken and the other side is done in order."""


class MessageQueue:
    """One task puts, one task gets. It holds `limit` messages, `waiting`: whoever puts waits for `room` then.

    `producer`: the task that puts, in which users' callbacks run. It can't wait for a message.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.waiting: deque[Any] = deque()
        self.producer: asyncio.Task[None] | None = None
        self._taker: asyncio.Future[Any] | None = None
        self._room: asyncio.Future[None] | None = None
        self._closed = False
        self.end_was_told: bool = False
        """Whether somebody heard that no more comes."""
        self._error: FalError | None = None

    @property
    def full(self) -> bool:
        return len(self.waiting) >= self._limit

    def put(self, value: Any) -> bool:
        """Whether somebody was waiting for it."""
        taker, self._taker = self._taker, None
        if taker is not None and not taker.done():
            taker.set_result(value)
            return True
        self.waiting.append(value)
        return False

    async def room(self) -> None:
        """Until there is room for one more."""
        while self.full:
            self._room = asyncio.get_running_loop().create_future()
            try:
                await self._room
            finally:
                self._room = None

    async def get(self) -> Any:
        """The next message; END, or the error it was closed with, when there are no more.

        SessionStateError where another task is waiting for it already, or a callback would wait for itself.
        """
        if self.waiting:
            value = self.waiting.popleft()
            if self._room is not None and not self._room.done():
                self._room.set_result(None)
            return value
        if self._closed:
            self.end_was_told = True
            if self._error is not None:
                raise self._error
            return END
        return await self._next()

    async def _next(self) -> Any:
        if self.producer is not None and self.producer is asyncio.current_task():
            raise SessionStateError("a callback can't wait for a message: it would wait for itself")
        if self._taker is not None and not self._taker.done():
            raise SessionStateError("another task is receiving from this connection: only one can")
        taker = self._taker = asyncio.get_running_loop().create_future()
        try:
            return await taker
        except asyncio.CancelledError:
            if taker.done() and not taker.cancelled() and taker.exception() is None:
                self.waiting.appendleft(taker.result())  # it came in the same step: it is not lost
            raise

    def close(self, error: FalError | None) -> None:
        """No more comes. What is there can still be taken. Closing twice changes nothing."""
        if self._closed:
            return
        self._closed, self._error = True, error
        self.end_was_told = self._tell(END) if error is None else self.interrupt(error)

    def reopen(self) -> None:
        self._closed, self._error, self.end_was_told = False, None, False

    def interrupt(self, error: FalError) -> bool:
        """Whether somebody waits, who gets this error then; nobody else ever hears of it."""
        taker, self._taker = self._taker, None
        if taker is None or taker.done():
            return False
        taker.set_exception(error)
        return True

    def _tell(self, value: Any) -> bool:
        taker, self._taker = self._taker, None
        if taker is None or taker.done():
            return False
        taker.set_result(value)
        return True
