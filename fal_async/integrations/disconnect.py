"""The race of work against a client that may leave before it is done. Plain ASGI, for each framework."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, Self

CLIENT_GONE = 499
"""The status of an answer to a client that left: nginx's code; nobody gets to see it."""


async def disconnected(receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> None:
    """Until the client is gone. To be used once the body is read: what else comes is thrown away."""
    while (await receive())["type"] != "http.disconnect":
        pass


class DisconnectWatch:
    """Cancels `work` as soon as `gone` ends, within its `async with` block.

    `work` is a task beside the block, or the one that runs the block.
    """

    def __init__(self, work: asyncio.Future[Any], gone: Coroutine[Any, Any, None]) -> None:
        self.client_left: bool = False
        """Whether `work` was cancelled for it. Work that was done by then has won."""
        self._work, self._over = work, False
        self._gone = asyncio.ensure_future(gone)
        self._gone.add_done_callback(self._cancel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await end_tasks(self._gone)

    def is_the_cause(self) -> bool:
        """Of a CancelledError in the current task, and alone: the server's own cancellation goes on."""
        task = asyncio.current_task()
        return self.client_left and task is not None and task.uncancel() == 0

    def _cancel(self, gone: asyncio.Future[None]) -> None:
        if not self._over and not gone.cancelled():
            self.client_left = self._work.cancel()


async def finished_before(work: asyncio.Future[Any], gone: Coroutine[Any, Any, None]) -> bool:
    """Whether `work` ended before `gone` did. If not, it was cancelled; its outcome is not raised here.

    A cancellation of the caller ends both, too.
    """
    try:
        # Out of the block first: a client that leaves does not cancel again what the server has cancelled.
        async with DisconnectWatch(work, gone) as watch:
            await asyncio.wait((work,))
    finally:
        await end_tasks(work)
    return not watch.client_left


async def end_tasks(*tasks: asyncio.Future[Any]) -> list[Any]:
    """Cancelled and waited for; what they raise is not raised here, but given."""
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)
