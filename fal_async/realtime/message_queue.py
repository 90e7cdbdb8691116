"""A bounded queue of messages, from the task that reads a connection to the task that receives."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from fal_async.errors import FalError, SessionStateError

END = object()
"""What `get` returns once all messages were taken and the session has ended regularly."""


class MessageQueue:
    """A queue for one task that puts and one that gets.

    It holds `limit` messages, in `waiting`; the task that puts awaits `room` when it is full.

    `producer`: the task that puts. The user's callbacks run in it, and can't wait for a message.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.waiting: deque[Any] = deque()
        self.producer: asyncio.Task[None] | None = None
        self._taker: asyncio.Future[Any] | None = None
        self._room: asyncio.Future[None] | None = None
        self._closed = False
        self.end_was_reported: bool = False
        """Whether a task was informed that the session has ended."""
        self._error: FalError | None = None

    @property
    def full(self) -> bool:
        return len(self.waiting) >= self._limit

    def put(self, value: Any) -> bool:
        """Add a message. Return whether a task was waiting for it."""
        taker, self._taker = self._taker, None
        if taker is not None and not taker.done():
            taker.set_result(value)
            return True
        self.waiting.append(value)
        return False

    async def room(self) -> None:
        """Wait until the queue is not full."""
        while self.full:
            self._room = asyncio.get_running_loop().create_future()
            try:
                await self._room
            finally:
                self._room = None

    async def get(self) -> Any:
        """Return the next message. At the end, return END or raise the error that the queue was closed with.

        Raises SessionStateError if another task is waiting already, or if a callback would wait for itself.
        """
        if self.waiting:
            value = self.waiting.popleft()
            if self._room is not None and not self._room.done():
                self._room.set_result(None)
            return value
        if self._closed:
            self.end_was_reported = True
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
                self.waiting.appendleft(taker.result())  # arrived in the same step: keep it
            raise

    def close(self, error: FalError | None) -> None:
        """End the queue. Messages in it can still be taken. Closing twice changes nothing."""
        if self._closed:
            return
        self._closed, self._error = True, error
        self.end_was_reported = self._hand_over(END) if error is None else self.interrupt(error)

    def reopen(self) -> None:
        self._closed, self._error, self.end_was_reported = False, None, False

    def interrupt(self, error: FalError) -> bool:
        """Raise `error` in the task that waits. Return False if no task does: the error is dropped then."""
        taker, self._taker = self._taker, None
        if taker is None or taker.done():
            return False
        taker.set_exception(error)
        return True

    def _hand_over(self, value: Any) -> bool:
        taker, self._taker = self._taker, None
        if taker is None or taker.done():
            return False
        taker.set_result(value)
        return True
