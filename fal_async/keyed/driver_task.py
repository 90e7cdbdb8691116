"""The task of a driver: it outlives the callers, and resolves its claim when the program stops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any


def _closed_already() -> bool:
    return False


class DriverTask(asyncio.Task[None]):
    """A task that is closed, not cancelled, by `cancel` from outside, such as at the end of `asyncio.run`.

    Closing resolves its claim first. `close` returns False if it is closing already; the task is interrupted then.
    """

    def __init__(self, work: Coroutine[Any, Any, None], close: Callable[[], bool]) -> None:
        super().__init__(work, loop=asyncio.get_running_loop())
        self._close = close

    def cancel(self, msg: Any = None) -> bool:
        """Close the task; only a time limit within the task, which cancels from a loop callback, cancels it."""
        loop = self.get_loop()
        if loop.is_running() and asyncio.current_task(loop) in (None, self):
            return super().cancel(msg)
        if not self._close():
            self.interrupt()
        return True

    def ends(self) -> None:
        """Forget the driver, as nothing is left to close: the task would keep it, and the result, in memory."""
        self._close = _closed_already

    def is_running(self) -> bool:
        """Return whether the task runs now. If not, its coroutine is being discarded, and must not await."""
        with contextlib.suppress(RuntimeError):  # no loop runs
            return asyncio.current_task() is self
        return False

    def interrupt(self) -> None:
        """Raise CancelledError in the task, at its next step."""
        super().cancel()
