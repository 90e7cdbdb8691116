"""The lifespan of an ASGI application: it starts with the emulator and stops with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from typing import Any

logger: logging.Logger = logging.getLogger("fal_async.emulator")

_SHUTDOWN_LIMIT = 10.0
"""Seconds that an application has to shut down before it is cancelled."""
_GRACE = 1.0


class Lifespan:
    """The lifespan of one application. An application without one returns or raises, which is allowed."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._forget()

    def _forget(self) -> None:
        self.state: dict[str, Any] = {}
        self._task: asyncio.Task[None] | None = None
        self._inbox: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._messages: dict[str, str] = {}
        self._changed = asyncio.Event()

    async def startup(self) -> None:
        """Start the application, and wait for its startup. If this is cancelled, the application is cancelled.

        Raises:
            RuntimeError: If the startup fails, with the application's message.
        """
        self._forget()
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        self._task = asyncio.get_running_loop().create_task(self._run(scope))
        try:
            await self._wait_for_phase("startup")
        except asyncio.CancelledError:
            await self._end(0)
            raise
        if "lifespan.startup.failed" in self._messages:
            await self._end(_GRACE)
            reason = self._messages["lifespan.startup.failed"].strip().rpartition("\n")[2]
            raise RuntimeError(f"the mounted application failed to start: {reason or 'it gave no reason'}")

    async def shutdown(self) -> None:
        """Stop the application. If this is cancelled, the application is cancelled.

        Raises nothing: failures are logged, since the emulator stops in any case.
        """
        if self._task is None:
            return
        try:
            async with asyncio.timeout(_SHUTDOWN_LIMIT):
                await self._wait_for_phase("shutdown")
        except TimeoutError:
            logger.error("a mounted application did not shut down within %g s", _SHUTDOWN_LIMIT)
        finally:
            await self._end(_GRACE)
        if "lifespan.shutdown.failed" in self._messages:
            logger.error(
                "a mounted application failed to shut down: %s", self._messages["lifespan.shutdown.failed"]
            )

    async def _wait_for_phase(self, moment: str) -> None:
        """Wait until the application reports the end of this phase, or its call has returned."""
        self._inbox.put_nowait({"type": f"lifespan.{moment}"})
        ends = {f"lifespan.{moment}.complete", f"lifespan.{moment}.failed"}
        while not (ends & self._messages.keys()) and self._task is not None and not self._task.done():
            self._changed.clear()
            await self._changed.wait()

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._app(scope, self._inbox.get, self._send)
        except Exception as error:
            # Before "complete", an error means that it has no lifespan; after "failed", its reason is known.
            if (
                "lifespan.startup.complete" in self._messages
                and "lifespan.shutdown.failed" not in self._messages
            ):
                logger.exception("a mounted application's lifespan ended with %s", type(error).__name__)
        finally:
            self._changed.set()

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self._messages[message["type"]] = message.get("message", "")
        self._changed.set()

    async def _end(self, grace: float) -> None:
        """Give the application `grace` seconds to return, then cancel it."""
        task, self._task = self._task, None
        if task is None:
            return
        try:
            await asyncio.wait({task}, timeout=grace)
        finally:
            task.cancel()
        await asyncio.wait({task}, timeout=_SHUTDOWN_LIMIT)
