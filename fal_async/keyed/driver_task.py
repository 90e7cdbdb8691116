"""The task of a driver: it outlives its callers, and ends in its own order where the program stops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any


def _on_its_way() -> bool:
    return False


class DriverTask(asyncio.Task[None]):
    """Who cancels it from outside, as `asyncio.run` does at its end, closes it: its claim is resolved first.

    `close`: False where that is under way: it is interrupted at once then.
    """

    def __init__(self, work: Coroutine[Any, Any, None], close: Callable[[], bool]) -> None:
        super().__init__(work, loop=asyncio.get_running_loop())
        self._close = close

    def cancel(self, msg: Any = None) -> bool:
        """Time limits within the task cancel it, from a callback of the loop: they alone may."""
        loop = self.get_loop()
        if loop.is_running() and asyncio.current_task(loop) in (None, self):
            return super().cancel(msg)
        if not self._close():
            self.interrupt()
        return True

    def ends(self) -> None:
        """There is nothing left to close. It keeps its driver, with the result, in memory no longer."""
        self._close = _on_its_way

    def is_running(self) -> bool:
        """Whether it is at work. If not, its coroutine is thrown away, and can't await anything."""
        with contextlib.suppress(RuntimeError):  # no loop runs
            return asyncio.current_task() is self
        return False

    def interrupt(self) -> None:
        """A CancelledError in it, at its next step."""
        super().cancel()
