"""An outage of the server that ends when the client has noticed it."""

from __future__ import annotations

import asyncio

from fal_async import RetryPolicy
from fal_async.emulator import Emulator
from tests.quick import Noted, quick


class Outage:
    """Pauses the emulator from `begin` until a client with the retry policy `policy` is about to retry."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator, self._noted = emulator, Noted()
        self.policy: RetryPolicy = quick(max_attempts=1000, on_retry=self._noted)
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin the outage. Later calls do nothing."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def over(self) -> None:
        """Wait for its end. Fails if it never began."""
        assert self._task is not None
        await self._task

    async def _run(self) -> None:
        await self._emulator.pause()
        await self._noted.first.wait()
        await self._emulator.resume()
