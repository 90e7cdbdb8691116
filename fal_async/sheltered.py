"""Work that is finished although its program stops, and waiting for it although whoever waits is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class ShelteredTask(asyncio.Task[T]):
    """Ends by itself or by `give_up`; whoever makes it bounds it, by `settle`.

    At its end `asyncio.run` cancels every task that is there, and so do programs that stop: this one goes on.
    """

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        super().__init__(work, loop=asyncio.get_running_loop())

    def cancel(self, msg: Any = None) -> bool:
        """Time limits within the task cancel it, from a callback of the loop: they alone may."""
        loop = self.get_loop()
        from_within = loop.is_running() and asyncio.current_task(loop) in (None, self)
        return from_within and super().cancel(msg)

    def give_up(self) -> None:
        """Cancel it."""
        super().cancel()

    def result_or(self, otherwise: T) -> T:
        """What it came to, once it is done. `otherwise` where a second Ctrl-C hit it: the loop raises that."""
        return otherwise if self.cancelled() or self.exception() is not None else self.result()


async def settle(task: ShelteredTask[Any], limit: float) -> bool:
    """Let `task` end, within `limit` seconds or by its cancellation. Else as `wait_for_all`."""
    interrupted = await wait_for_all((task,), limit)
    if not task.done():
        task.give_up()
    return await wait_for_all((task,), None) or interrupted


async def wait_for_all(futures: Collection[asyncio.Future[Any]], limit: float | None) -> bool:
    """Until all are done, `limit` seconds at most.

    A cancellation that comes meanwhile shortens nothing. True if there was one: it is still due then.
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
    """For `async with`: so many seconds from now on, or from a moment on the event loop's clock."""
    if seconds is None:
        return asyncio.timeout(None)
    return asyncio.timeout_at(seconds + (asyncio.get_running_loop().time() if began is None else began))
