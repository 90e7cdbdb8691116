"""The task of a driver, which outlives the callers, and resolves its claim when the program stops.

A claim is the ledger's note, written before a submit is sent, that this process is about to send it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any


def _closed_already() -> bool:
    return False


class DriverTask(asyncio.Task[None]):
    """A task that is closed if other code cancels it, such as `asyncio.run` at its end.

    Closing gives the driver the time to resolve its claim. If other code cancels it once more, it is interrupted.
    """

    def __init__(self, work: Coroutine[Any, Any, None], close: Callable[[], bool]) -> None:
        """`close` closes the driver; it returns False if the driver was closed before."""
        super().__init__(work, loop=asyncio.get_running_loop())
        self._close = close

    def cancel(self, msg: Any = None) -> bool:
        """Close the driver.

        Only a time limit inside the task cancels the task. It calls this from a callback of the event loop.
        """
        loop = self.get_loop()
        if loop.is_running() and asyncio.current_task(loop) in (None, self):
            return super().cancel(msg)
        if not self._close():
            self.interrupt()
        return True

    def ends(self) -> None:
        """Release the driver, as nothing is left to close. Otherwise the task keeps it and the result in memory."""
        self._close = _closed_already

    def is_running(self) -> bool:
        """Return whether this task is the running one. If not, its coroutine is discarded, and must not await."""
        with contextlib.suppress(RuntimeError):  # raised if no event loop runs
            return asyncio.current_task() is self
        return False

    def interrupt(self) -> None:
        """Raise CancelledError in the task, at its next step."""
        super().cancel()
