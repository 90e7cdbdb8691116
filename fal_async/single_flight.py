"""Single flight: one fetch of a value for all tasks that want it, such as a token (protocol 6.2, 7.1)."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from fal_async.errors import FalError

V = TypeVar("V")


class SingleFlight(Generic[V]):
    """Fetches a value once for all tasks that ask for it while the fetch is running.

    The fetch has its own task: it goes on if a waiter is cancelled, and is cancelled with its last waiter.

    Attributes:
        value: the value that was fetched last, however old it is; None before the first. Set it to None to forget
            it.
    """

    def __init__(self) -> None:
        self.value: V | None = None
        self._flight: _Flight[V] | None = None

    @property
    def under_way(self) -> bool:
        """Whether a fetch is running."""
        return self._flight is not None

    async def get(self, good: Callable[[V], bool], fetch: Callable[[], Awaitable[V]]) -> V:
        """Return the stored value if it is `good`, else a newly fetched one, which is not checked.

        Waiters share a failure too: if they retried one after the other, the twentieth would wait for twenty time
        limits. Cancellation is not shared: if a fetch was cancelled, the next waiter starts another one.
        """
        while True:
            if self.value is not None and good(self.value):
                return self.value
            flight, joined = self._flight, self._flight is not None
            if flight is None:
                flight = self._begin(fetch)
            await flight.landed()
            flight.raise_failure()
            if not joined or not flight.task.cancelled():
                return flight.task.result()

    def start(self, fetch: Callable[[], Awaitable[V]]) -> None:
        """Fetch in the background, unless a fetch is running. It needs no waiters; `aclose` cancels it."""
        flight = self._flight or self._begin(fetch)
        flight.needs_waiters = False

    async def aclose(self) -> None:
        """Cancel a running fetch and wait for its end."""
        if self._flight is not None:
            await self._flight.cancel()

    def _begin(self, fetch: Callable[[], Awaitable[V]]) -> _Flight[V]:
        task = asyncio.get_running_loop().create_task(self._fetch(fetch))
        task.add_done_callback(self._ended)
        self._flight = _Flight(task)
        return self._flight

    async def _fetch(self, fetch: Callable[[], Awaitable[V]]) -> V:
        self.value = await fetch()
        return self.value

    def _ended(self, task: asyncio.Task[V]) -> None:
        self._flight = None
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not warn about it if all waiters are gone


class _Flight(Generic[V]):
    def __init__(self, task: asyncio.Task[V]) -> None:
        self.task = task
        self.needs_waiters = True
        self._waiters = 0

    async def landed(self) -> None:
        """Wait until the fetch has ended, successfully or not."""
        self._waiters += 1
        try:
            await asyncio.wait([self.task])
        finally:
            self._waiters -= 1
            if self.needs_waiters and not self._waiters and not self.task.done():
                await self.cancel()

    async def cancel(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    def raise_failure(self) -> None:
        """Raise the error of a failed fetch; not for one that was cancelled."""
        error = None if self.task.cancelled() else self.task.exception()
        if isinstance(error, FalError):
            # A copy for each waiter: each one adds its own request id and its own traceback.
            raise copy.copy(error) from error.__cause__
        if error is not None:
            raise error
