"""Single flight: one fetch of a value, such as a token, for all tasks that need it (protocol 6.2, 7.1)."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from fal_async.errors import FalError

V = TypeVar("V")


class SingleFlight(Generic[V]):
    """Fetches a value once for all tasks that need it while the fetch is running.

    The fetch runs in its own task. It continues if one waiter is cancelled, and is cancelled with its last waiter.

    Attributes:
        value: the value that was fetched last, however old it is; None before the first fetch. Set it to None to
            delete it.
    """

    def __init__(self) -> None:
        self.value: V | None = None
        self._flight: _Flight[V] | None = None

    @property
    def under_way(self) -> bool:
        """Whether a fetch is running."""
        return self._flight is not None

    async def get(self, good: Callable[[V], bool], fetch: Callable[[], Awaitable[V]]) -> V:
        """Return the stored value if `good` accepts it, else a newly fetched value, which is not checked.

        All waiters get the error of a failed fetch. If they retried one after the other instead, the twentieth
        would wait for twenty time limits. If a fetch was cancelled, the next waiter starts another one.
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
        """Fetch in the background, unless a fetch is running. It continues without waiters; `aclose` cancels it."""
        flight = self._flight or self._begin(fetch)
        flight.needs_waiters = False

    async def aclose(self) -> None:
        """Cancel a running fetch and wait until it has stopped."""
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
            task.exception()  # retrieve it: without waiters, asyncio would warn that it was never retrieved


class _Flight(Generic[V]):
    """One fetch and the number of its waiters."""

    def __init__(self, task: asyncio.Task[V]) -> None:
        self.task = task
        self.needs_waiters = True
        self._waiters = 0

    async def landed(self) -> None:
        """Wait until the fetch has succeeded, failed or been cancelled."""
        self._waiters += 1
        try:
            await asyncio.wait([self.task])
        finally:
            self._waiters -= 1
            if self.needs_waiters and not self._waiters and not self.task.done():
                await self.cancel()

    async def cancel(self) -> None:
        """Cancel the fetch and wait until it has stopped."""
        self.task.cancel()
        await asyncio.wait([self.task])

    def raise_failure(self) -> None:
        """Raise the error of a failed fetch. Do nothing if the fetch succeeded or was cancelled."""
        error = None if self.task.cancelled() else self.task.exception()
        if isinstance(error, FalError):
            # Each waiter gets a copy, because it adds its own request id and its own traceback.
            raise copy.copy(error) from error.__cause__
        if error is not None:
            raise error
