"""A transport of the caller's own, for as long as the session is open."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from fal_async.errors import SessionStateError
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.transport import OpenResponse, Transport, WebSocket


class GuardedTransport(Transport):
    """Passes everything on to `transport`; SessionStateError once it is closed. `transport` itself stays open."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.closed = False

    def check_open(self) -> None:
        """Raise SessionStateError once it is closed."""
        if self.closed:
            raise SessionStateError(
                "the session is closed: open a new one with `async with Session() as fal:`"
            )

    async def send(self, request: HttpRequest, **options: Any) -> HttpResponse:
        self.check_open()
        return await self._transport.send(request, **options)

    def open(self, request: HttpRequest, **options: Any) -> AbstractAsyncContextManager[OpenResponse]:
        self.check_open()
        return self._transport.open(request, **options)

    def pass_through(self, request: HttpRequest, **options: Any) -> AbstractAsyncContextManager[OpenResponse]:
        self.check_open()
        return self._transport.pass_through(request, **options)

    def websocket(self, url: str, **options: Any) -> AbstractAsyncContextManager[WebSocket]:
        self.check_open()
        return self._transport.websocket(url, **options)
