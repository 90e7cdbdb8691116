"""A bounded queue of messages between the task that reads the connection and the user's task that receives."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from fal_async.errors import FalError, SessionStateError

END = object()
"""Returned by `get` when all messages were received and the session has ended normally."""


class MessageQueue:
    """A queue for one task that puts messages and one that gets them.

    The queue has at most `limit` messages, in `waiting`. When it is full, the task that puts must await `room`.

    `producer`: the task that puts. User callbacks run in this task, so that they can't wait for a message.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.waiting: deque[Any] = deque()
        self.producer: asyncio.Task[None] | None = None
        self._taker: asyncio.Future[Any] | None = None
        self._room: asyncio.Future[None] | None = None
        self._closed = False
        self.end_was_reported: bool = False
        """Whether a task got END, or the error, after the session had ended."""
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
        """Return the next message. After the last one, return END or raise the error that `close` was called with.

        Raises SessionStateError if another task is waiting already, or if a callback calls it, which would wait for
        itself.
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
            raise SessionStateError("another task is receiving from this connection: only one task can")
        taker = self._taker = asyncio.get_running_loop().create_future()
        try:
            return await taker
        except asyncio.CancelledError:
            if taker.done() and not taker.cancelled() and taker.exception() is None:
                self.waiting.appendleft(taker.result())  # a message arrived in the same step: keep it
            raise

    def close(self, error: FalError | None) -> None:
        """Close the queue. Its messages can still be received. A second call changes nothing.

        `error`: raised by `get` after the last message; None: `get` returns END.
        """
        if self._closed:
            return
        self._closed, self._error = True, error
        self.end_was_reported = self._hand_over(END) if error is None else self.interrupt(error)

    def reopen(self) -> None:
        self._closed, self._error, self.end_was_reported = False, None, False

    def interrupt(self, error: FalError) -> bool:
        """Raise `error` in the task that waits in `get`. Return False, and do nothing, if no task waits."""
        taker, self._taker = self._taker, None
        if taker is None or taker.done():
            return False
        taker.set_exception(error)
        return True

    def _hand_over(self, value: Any) -> bool:
        """Return `value` from the `get` of the task that waits. Return False, and do nothing, if no task waits."""
        taker, self._taker = self._taker, None
        if taker is None or taker.done():
            return False
        taker.set_result(value)
        return True
