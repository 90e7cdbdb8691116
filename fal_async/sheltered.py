"""Tasks that finish even if the program is stopped, and functions that wait for them even if they are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class ShelteredTask(asyncio.Task[T]):
    """A task that ignores `cancel()` from outside; only `give_up` cancels it.

    `asyncio.run` cancels all tasks before it returns, and so do programs that stop. This task keeps running. Its
    creator limits its time with `settle`.
    """

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        super().__init__(work, loop=asyncio.get_running_loop())

    def cancel(self, msg: Any = None) -> bool:
        """Cancel the task only for a time limit inside it, which calls this in the task or in a loop callback."""
        loop = self.get_loop()
        from_within = loop.is_running() and asyncio.current_task(loop) in (None, self)
        return from_within and super().cancel(msg)

    def give_up(self) -> None:
        """Cancel the task."""
        super().cancel()

    def result_or(self, otherwise: T) -> T:
        """Return the result of the finished task, or `otherwise` if it failed or was cancelled.

        A KeyboardInterrupt in the task, from a second Ctrl-C, is a failure as well. The event loop raises it again.
        """
        return otherwise if self.cancelled() or self.exception() is not None else self.result()


async def settle(task: ShelteredTask[Any], limit: float) -> bool:
    """Wait for `task`; after `limit` seconds cancel it, and wait until it has stopped.

    Return whether the calling task was cancelled in the meantime, as `wait_for_all` does.
    """
    interrupted = await wait_for_all((task,), limit)
    if not task.done():
        task.give_up()
    return await wait_for_all((task,), None) or interrupted


async def wait_for_all(futures: Collection[asyncio.Future[Any]], limit: float | None) -> bool:
    """Wait until all futures are done, for `limit` seconds at most; None: no limit.

    A cancellation of the calling task does not stop the wait. Return whether there was one; the caller must raise
    it then.
    """
    loop, interrupted = asyncio.get_running_loop(), False
    give_up_at = None if limit is None else loop.time() + limit
    while pending := [future for future in futures if not future.done()]:
        left = None if give_up_at is None else give_up_at - loop.time()
        if left is not None and left <= 0:
            break
        try:
            await asyncio.wait(pending, timeout=left)
        except asyncio.CancelledError:
            interrupted = True
    return interrupted


def within(seconds: float | None, began: float | None = None) -> asyncio.Timeout:
    """Return a time limit for `async with`: `seconds` from now, or from `began`, a time of the event loop's clock.

    `seconds=None`: no limit.
    """
    if seconds is None:
        return asyncio.timeout(None)
    return asyncio.timeout_at(seconds + (asyncio.get_running_loop().time() if began is None else began))
