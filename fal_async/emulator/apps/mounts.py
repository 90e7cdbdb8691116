"""The mounted applications, which start and stop with the emulator."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Any

import attrs

from fal_async.emulator.apps.application import Application, check_url
from fal_async.emulator.apps.hosted_application import HostedApplication, check_asgi
from fal_async.emulator.jobs.served import Served

logger: logging.Logger = logging.getLogger("fal_async.emulator")


@attrs.frozen(kw_only=True, eq=False)
class Mount(Served):
    """An application under its id. All its paths share its runners, as on fal."""

    application: Application
    runs_on: bool = False
    """Whether a cancelled call is never aborted; the application is notified of the cancel in any case."""


class Mounts:
    """The applications. One that is mounted under several ids starts and stops once."""

    def __init__(self) -> None:
        self._applications: list[tuple[Any, Application]] = []
        self._starting: dict[Application, asyncio.Task[None]] = {}
        self._is_open = False

    def take(self, target: Any) -> Application:
        """Add an ASGI application or a base URL. Raise TypeError or ValueError if `target` is neither.

        Raise ModuleNotFoundError for an ASGI application without uvicorn.

        If the emulator is running, the application starts at once, and requests wait until it has started.
        """
        for known, application in self._applications:
            if known is target or (isinstance(target, str) and known == target):
                return application
        application = _application(target)
        self._applications.append((target, application))
        if self._is_open:
            self._start(application).add_done_callback(_log_failure)
        return application

    async def open(self) -> None:
        """Start all applications. If one fails, stop the others and raise its error."""
        self._is_open = True
        try:
            await asyncio.gather(*(self._start(application) for _, application in self._applications))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop all applications, in reverse order."""
        self._is_open = False
        starting = list(self._starting.values())
        self._starting.clear()
        for task in starting:
            task.cancel()
        if starting:
            await asyncio.wait(starting)
        async with AsyncExitStack() as stack:
            for _, application in self._applications:
                stack.push_async_callback(application.close)

    async def ready(self, application: Application) -> None:
        """Wait until an application has started. Raise RuntimeError if it fails or the emulator is stopped."""
        starting = self._starting.get(application)
        if starting is None:
            raise RuntimeError("the emulator is not started")
        await asyncio.shield(starting)

    def _start(self, application: Application) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(application.open())
        self._starting[application] = task
        return task


def _application(target: Any) -> Application:
    if isinstance(target, str):
        return Application(check_url(target))
    check_asgi(target)
    return HostedApplication(target)


def _log_failure(start: asyncio.Task[None]) -> None:
    """Log that an application failed to start which was mounted on a running emulator; its requests fail."""
    if not start.cancelled() and (error := start.exception()) is not None:
        logger.error("%s", error)
