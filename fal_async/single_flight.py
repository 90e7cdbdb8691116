"""A value that many tasks want and one of them fetches: tokens (protocol 6.2, 7.1)."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from fal_async.errors import FalError

V = TypeVar("V")


class Shared(Generic[V]):
    """`value` is what was fetched last, whatever its age; None before."""

    def __init__(self) -> None:
        self.value: V | None = None
        self._fetching = asyncio.Lock()
        self._failures = 0
        self._failure: FalError | None = None

    async def get(self, good: Callable[[V], bool], fetch: Callable[[], Awaitable[V]]) -> V:
        """The value that is there, if it is `good`, else a new one. Who waits while it is fetched gets that one.

        Or its failure: if each tried again by itself, the last of twenty would hear of it after twenty times
        the time limit. A cancelled fetch is none: the next one in the row fetches.
        """
        failures = self._failures
        async with self._fetching:
            if self.value is not None and good(self.value):
                return self.value
            if self._failure is not None and self._failures != failures:
                raise copy.copy(self._failure)
            try:
                self.value = await fetch()
            except FalError as error:
                self._failures += 1
                self._failure = copy.copy(error)  # without its traceback, which would keep much alive
                raise
            return self.value
