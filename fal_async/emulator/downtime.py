"""Pauses and restarts of the server, which may delete its requests; at once or scheduled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from fal_async.emulator.core import Core
from fal_async.emulator.listener import Listener


class Downtime:
    def __init__(self, core: Core, listener: Listener) -> None:
        self._core, self._listener = core, listener
        self._scheduled: set[asyncio.Task[None]] = set()

    def drop_connections(self) -> None:
        self._listener.drop_connections()

    async def restart(self, *, keep_memory: bool, downtime: float) -> None:
        """Stop listening for `downtime` real seconds; without `keep_memory`, cancel and forget all requests."""
        self._listener.check_open()
        try:
            await self._listener.pause()
            if not keep_memory:
                self._core.jobs.forget()
                self._core.webhooks.forget()
                await self._core.runners.close()
            await asyncio.sleep(downtime)
        finally:
            await self._listener.resume()

    def go_away(self, seconds: float, *, after: float = 0.0) -> None:
        """Schedule a pause of `seconds`, without waiting for it, so that an HTTP request can cause it."""
        self._spawn(self._go_away(after, seconds))

    def restart_soon(self, *, keep_memory: bool, downtime: float, after: float = 0.0) -> None:
        """Schedule a `restart`, without waiting for it."""
        self._spawn(self._restart_soon(after, keep_memory, downtime))

    async def close(self) -> None:
        """Cancel all scheduled pauses and restarts."""
        for task in self._scheduled:
            task.cancel()
        if self._scheduled:
            await asyncio.wait(self._scheduled)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._scheduled.add(task)
        task.add_done_callback(self._scheduled.discard)

    async def _go_away(self, after: float, seconds: float) -> None:
        await asyncio.sleep(after)
        await self._listener.pause()
        await asyncio.sleep(seconds)
        await self._listener.resume()

    async def _restart_soon(self, after: float, keep_memory: bool, downtime: float) -> None:
        await asyncio.sleep(after)
        await self.restart(keep_memory=keep_memory, downtime=downtime)
