"""How a task waits for the changes of a job."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Watcher(Protocol):
    """What a job calls at each change."""

    def set(self) -> None: ...


class Changes:
    """An `asyncio.Event` for one waiting task with a time limit, without the 700 bytes of an event's queue.

    Each open status stream has one.
    """

    __slots__ = ("_has_changed", "_waiter")

    def __init__(self) -> None:
        self._has_changed = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Note a change, and wake the task."""
        self._has_changed = True
        self._wake()

    def clear(self) -> None:
        self._has_changed = False

    async def within(self, seconds: float) -> bool:
        """Return whether there was a change since `clear`, as soon as there is one, or after some seconds."""
        if self._has_changed:
            return True
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        limit = loop.call_later(seconds, self._wake)
        try:
            await self._waiter
        finally:
            limit.cancel()
            self._waiter = None
        return self._has_changed

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
