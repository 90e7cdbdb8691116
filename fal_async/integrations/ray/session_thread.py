"""Runs a session in a thread with its own event loop, for engines that block the event loop of their callables."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

from fal_async.errors import SessionStateError

R = TypeVar("R")
T = TypeVar("T")


class SessionThread(Generic[R]):
    """A thread that opens a resource, such as a session, and closes it when `close` is called.

    Args:
        opened: returns the context manager of the resource. It is entered and left in the thread's event loop.
    """

    def __init__(self, opened: Callable[[], AbstractAsyncContextManager[R]]) -> None:
        self._opened = opened
        self._ready: concurrent.futures.Future[R] = concurrent.futures.Future()
        self._ready.set_running_or_notify_cancel()  # from now on, a cancelled call can't cancel it
        self._is_closed = False
        # A daemon, because Python waits for other threads before it calls the functions that close this one.
        self._thread = threading.Thread(target=self._run, name="fal_async session", daemon=True)
        self._thread.start()

    async def call(self, function: Callable[[R], Coroutine[Any, Any, T]]) -> T:
        """Call a coroutine function with the resource, in the thread, and return its result.

        It may be called in any event loop. Cancelling this call cancels the coroutine. Raises the error of the
        opening if the resource could not be opened, and SessionStateError after `close`.
        """
        resource = await asyncio.wrap_future(self._ready)
        if self._is_closed:
            raise SessionStateError("the session of this object was closed: create another one")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(function(resource), self._loop))

    def close(self) -> None:
        """Close the resource, and wait until the thread has ended. Calling it twice is allowed."""
        self._is_closed = True
        concurrent.futures.wait([self._ready])
        if self._ready.exception() is None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _main(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        async with self._opened() as resource:
            self._ready.set_result(resource)
            await self._over.wait()
