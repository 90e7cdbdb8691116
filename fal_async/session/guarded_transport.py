"""A transport that the caller passed to the session, wrapped: it adds the session's headers, key and limits."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import attrs

from fal_async.auth.credentials import KeySource
from fal_async.closeable import SESSION_CLOSED
from fal_async.config import RetryPolicy, Settings, Timeouts
from fal_async.errors import ConfigurationError, SessionStateError, naming
from fal_async.protocol.http import HttpRequest, HttpResponse, handshake_request
from fal_async.transport import OpenResponse, Transport, WebSocket
from fal_async.transport.progress import Progress
from fal_async.transport.request_headers import RequestHeaders


@attrs.define(eq=False)
class OwnTransport:
    """The caller's transport, and whether the session is closed. The transport itself is never closed."""

    transport: Transport = attrs.field()
    closed: bool = False

    @transport.validator
    def _check_transport(self, _: Any, transport: object) -> None:
        if Transport not in type(transport).__mro__:
            raise ConfigurationError(
                f"transport is of type {type(transport).__name__}: "
                "derive its class from fal_async.transport.Transport"
            )

    def check_open(self) -> None:
        """Raise SessionStateError once the session is closed."""
        if self.closed:
            raise SessionStateError(SESSION_CLOSED)


class GuardedTransport(Transport):
    """Passes requests on with the headers, the key, the time limits and the retry policy of one view."""

    def __init__(self, own: OwnTransport, settings: Settings, keys: KeySource) -> None:
        self._own, self._settings = own, settings
        self._headers = RequestHeaders(settings, keys)

    async def send(
        self,
        request: HttpRequest,
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> HttpResponse:
        prepared = await self._prepared(request)
        if progress is not None:
            progress.request = request
            if progress.claim is not None:
                await progress.claim.take()
            # The transport does not report when it sends the request, so from here on fal may have accepted it.
            progress.began_at, progress.sent = time.time(), True
        limits = self._limits(timeouts, retry)
        with naming(request.ref):
            return await self._own.transport.send(prepared, progress=progress, **limits, **options)

    @contextlib.asynccontextmanager
    async def open(
        self,
        request: HttpRequest,
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        silence: float | None = None,
    ) -> AsyncIterator[OpenResponse]:
        prepared, limits = await self._prepared(request), self._limits(timeouts, retry)
        async with self._own.transport.open(prepared, silence=silence, **limits) as response:
            yield response

    @contextlib.asynccontextmanager
    async def pass_through(
        self, request: HttpRequest, *, timeouts: Timeouts | None = None
    ) -> AsyncIterator[OpenResponse]:
        prepared, timeouts = await self._prepared(request), timeouts or self._settings.timeouts
        async with self._own.transport.pass_through(prepared, timeouts=timeouts) as response:
            yield response

    @contextlib.asynccontextmanager
    async def websocket(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: bool = False,
        endpoint_id: str | None = None,
        **options: Any,
    ) -> AsyncIterator[WebSocket]:
        request = handshake_request(url, headers=headers, auth=auth, endpoint_id=endpoint_id)
        prepared = await self._prepared(request)
        opening = self._own.transport.websocket(
            prepared.url, headers=prepared.headers, auth=False, endpoint_id=endpoint_id, **options
        )
        async with opening as socket:
            yield socket

    async def _prepared(self, request: HttpRequest) -> HttpRequest:
        """Return the request with its headers and key, addressed to the server-side proxy if there is one."""
        self._own.check_open()
        headers = self._headers.at_once(request)
        if headers is None:
            headers = await self._headers.with_asked_key(request, self.send)
        headers, url = self._headers.addressed(request, request.url, headers)
        return attrs.evolve(request, url=url, headers=headers)

    def _limits(self, timeouts: Timeouts | None, retry: RetryPolicy | None) -> dict[str, Any]:
        return {"timeouts": timeouts or self._settings.timeouts, "retry": retry or self._settings.retry}
