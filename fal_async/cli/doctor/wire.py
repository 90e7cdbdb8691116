"""Sends single HTTP requests as a session does, and returns every response, whatever its status."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fal_async.config import PoolOptions, RetryPolicy, Settings, Timeouts
from fal_async.environment import Environment
from fal_async.platform import Platform
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.session.shared import Shared
from fal_async.session.view import View
from fal_async.transport import WebSocket
from fal_async.transport.progress import Progress

_EVERY_STATUS = range(200, 600)


class Wire:
    """The settings and the transport of a session without arguments, which makes one attempt for each request."""

    def __init__(self, view: View) -> None:
        self._view = view

    @property
    def settings(self) -> Settings:
        return self._view.settings

    @property
    def platform(self) -> Platform:
        return self._view.platform

    async def send(self, request: HttpRequest, progress: Progress | None = None) -> HttpResponse:
        """Send `request` once, and return the response. `progress` records how far the sending got.

        Raises TransportError if there was none (SubmissionUncertainError if the request is paid and may have been
        accepted), and ConfigurationError if there is no key, or a setting is invalid.
        """
        return await self._view.transport.send(request, accept=_EVERY_STATUS, progress=progress)

    def websocket(self, url: str) -> AbstractAsyncContextManager[WebSocket]:
        """Open a WebSocket. Its URL has a token, so the API key is not sent."""
        return self._view.transport.websocket(url)


@asynccontextmanager
async def open_wire(environment: Environment, limit: float) -> AsyncIterator[Wire]:
    """Open the connections of a session. `limit`: seconds that a request may take.

    Raises ConfigurationError if the API key or a setting is invalid.
    """
    settings = Settings(
        hosts=environment.hosts, retry=RetryPolicy(max_attempts=1), timeouts=Timeouts.of(limit)
    )
    shared = Shared(environment, PoolOptions(), None)
    try:
        yield Wire(View.first(shared, settings, None))
    finally:
        await shared.aclose()
