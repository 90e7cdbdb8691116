"""Cancel work when its HTTP client disconnects. This is plain ASGI, for every framework."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, Self

CLIENT_GONE = 499
"""Status of a response after the client disconnected, as in nginx. The client never sees it."""


async def disconnected(receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> None:
    """Wait until the client disconnects. Call it after the body was read, because other messages are ignored."""
    while (await receive())["type"] != "http.disconnect":
        pass


class DisconnectWatch:
    """An `async with` block in which `work` is cancelled when `gone` returns.

    `work` is a separate task, or the task that runs the block. `gone` waits for the client's disconnect.
    """

    def __init__(self, work: asyncio.Future[Any], gone: Coroutine[Any, Any, None]) -> None:
        self.client_left: bool = False
        """Whether `work` was cancelled because of the disconnect. False if `work` was done before."""
        self._work, self._over = work, False
        self._gone = asyncio.ensure_future(gone)
        self._gone.add_done_callback(self._cancel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await end_tasks(self._gone)

    def is_the_cause(self) -> bool:
        """Return whether only the disconnect cancelled this task; False if the server has also cancelled it."""
        task = asyncio.current_task()
        return self.client_left and task is not None and task.uncancel() == 0

    def _cancel(self, gone: asyncio.Future[None]) -> None:
        if not self._over and not gone.cancelled():
            self.client_left = self._work.cancel()


async def finished_before(work: asyncio.Future[Any], gone: Coroutine[Any, Any, None]) -> bool:
    """Return whether `work` was done before `gone`. If not, `work` was cancelled.

    An exception of `work` is not raised here. Cancelling this coroutine cancels both.
    """
    try:
        # The block ends before `work` is cancelled below, so that a disconnect does not cancel it a second time.
        async with DisconnectWatch(work, gone) as watch:
            await asyncio.wait((work,))
    finally:
        await end_tasks(work)
    return not watch.client_left


async def end_tasks(*tasks: asyncio.Future[Any]) -> list[Any]:
    """Cancel the tasks, wait for them, and return their results and exceptions."""
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)
