"""The transport over aiohttp. Each attempt first gets the API key, then reserves a connection, then sends.

A "place" is the right to use one connection of the pool. `ConnectionLimiter` hands places out.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping
from typing import Any

import aiohttp

from fal_async.auth.credentials import KeySource
from fal_async.config import RetryPolicy, Settings, Timeouts
from fal_async.errors import FalError, SessionStateError, TransportError
from fal_async.protocol.api_errors import error_of
from fal_async.protocol.http import PAID, HttpRequest, HttpResponse, Operation, handshake_request
from fal_async.transport import Transport
from fal_async.transport.attempt import LONG, Call
from fal_async.transport.connection_limiter import ConnectionLimiter
from fal_async.transport.exchange import Exchange
from fal_async.transport.kept_connections import close_noisy_ones
from fal_async.transport.pool import Pool
from fal_async.transport.progress import Progress
from fal_async.transport.request_headers import RequestHeaders
from fal_async.transport.response_body import AiohttpOpenResponse, error_of_open
from fal_async.transport.retrying import Retries, retrying
from fal_async.transport.websocket import AiohttpWebSocket, connected

_PASS_THROUGH_WAIT = 120.0
"""Seconds that a passed-through request waits for a place if `Timeouts.total` is None.

A proxy's callers are strangers, so that their number, and thus the wait, must be limited."""


class AiohttpTransport(Transport):
    """Sends HTTP requests over a pool with one set of settings. Each view of a session has its own transport."""

    def __init__(self, pool: Pool, settings: Settings, keys: KeySource) -> None:
        self.pool: Pool = pool
        self._settings = settings
        self._headers = RequestHeaders(settings, keys)
        self._retries = Retries(pool.budget, keys)
        self._exchange = Exchange(pool, settings, self._headers)

    def send(  # not `async`: it returns the coroutine of `retrying`, which saves one coroutine for each response
        self,
        request: HttpRequest,
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        accept: Collection[int] = (),
        check: Callable[[HttpResponse], None] | None = None,
        progress: Progress | None = None,
    ) -> Coroutine[Any, Any, HttpResponse]:
        call = self._call(request, timeouts, retry, progress)
        call.accept, call.check = accept, check
        call.progress.request = request
        return retrying(self._attempt, call)

    @contextlib.asynccontextmanager
    async def open(
        self,
        request: HttpRequest,
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        silence: float | None = None,
    ) -> AsyncIterator[AiohttpOpenResponse]:
        call = self._call_in_pieces(request, timeouts, retry, silence)
        response = await retrying(self._attempt_to_open, call)
        async with self._kept_open(call, response) as opened:
            yield opened

    @contextlib.asynccontextmanager
    async def pass_through(
        self, request: HttpRequest, *, timeouts: Timeouts | None = None
    ) -> AsyncIterator[AiohttpOpenResponse]:
        call = self._call_in_pieces(request, timeouts, None, None)
        await self._prepare(call)
        async with _place(self.pool.passed_through, call.timeouts.total or _PASS_THROUGH_WAIT):
            response = await self._on_a_long_place(self._passed_on, call)
            async with self._kept_open(call, response) as opened:
                yield opened

    @contextlib.asynccontextmanager
    async def websocket(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: bool = False,
        max_size: int = 0,
        heartbeat: float | None = None,
        connect_timeout: float | None = 10.0,
        endpoint_id: str | None = None,
    ) -> AsyncIterator[AiohttpWebSocket]:
        request = handshake_request(url, headers=headers, auth=auth, endpoint_id=endpoint_id)
        call = self._call(request, None, None)
        await self._prepare(call)
        if not self.pool.is_ours:
            await close_noisy_ones(self.pool.http(), request)
        call.route = self.pool.route_to(url)
        async with (
            _place(self.pool.long_requests, call.timeouts.run),
            connected(self.pool.http(), call, max_size=max_size, limit=connect_timeout) as raw,
        ):
            socket = AiohttpWebSocket(raw, heartbeat)
            try:
                yield socket
            finally:
                socket.detach()
                await socket.close()

    def _call(
        self,
        request: HttpRequest,
        timeouts: Timeouts | None,
        retry: RetryPolicy | None,
        progress: Progress | None = None,
    ) -> Call:
        settings = self._settings
        return Call(request, retry or settings.retry, timeouts or settings.timeouts, progress)

    def _call_in_pieces(
        self,
        request: HttpRequest,
        timeouts: Timeouts | None,
        retry: RetryPolicy | None,
        silence: float | None,
    ) -> Call:
        call = self._call(request, timeouts, retry)
        call.limits = call.timeouts.first_byte, None
        call.silence = call.timeouts.first_byte if silence is None else silence
        return call

    async def _prepare(self, call: Call) -> None:
        """Make the headers, API key included, before a connection is reserved.

        A slow key source then blocks no connection. A key source that asks fal over the same pool would otherwise
        deadlock: it would wait for a connection that waits for the key.
        """
        self.pool.http()  # if the session is closed or the loop is wrong, raise now and not after waiting
        headers = self._headers.at_once(call.request)
        if headers is None:
            headers = await self._headers.with_asked_key(call.request, self.send)
        call.headers = headers

    async def _attempt(self, call: Call) -> HttpResponse:
        call.begin_attempt()
        request = call.request
        # An upload uses its connection until its whole body is sent.
        holds = request.operation in LONG or request.operation is Operation.UPLOAD
        try:
            await self._prepare(call)
            places = self.pool.long_requests if holds else self.pool.short_requests
            # A request with a renewed API key goes first: the key might expire while the request waits for a place.
            patience = call.timeouts.run if holds else call.timeouts.total
            await places.acquire(first=call.goes_first, patience=patience)
            try:
                if call.progress.claim is not None:
                    await call.progress.claim.take()
                response = await self._exchange.whole_answer(call)
            finally:
                places.release()
            if not 200 <= response.status < 300 and response.status not in call.accept:
                raise error_of(request, response, time.time())
            if call.check is not None:
                call.check(response)
        except FalError as error:
            await self._retries.release_claim_and_raise_next(call, error)
        self.pool.budget.succeeded()
        return response

    async def _attempt_to_open(self, call: Call) -> aiohttp.ClientResponse:
        call.begin_attempt()
        try:
            await self._prepare(call)
            response = await self._on_a_long_place(self._opened, call)
        except FalError as error:
            if self.pool.closed and isinstance(error, TransportError):
                error = _closed_during_call(call)
            self._retries.raise_next(call, error)
        self.pool.budget.succeeded()
        return response

    async def _opened(self, call: Call) -> aiohttp.ClientResponse:
        response = await self._exchange.begun(call)
        if not 200 <= response.status < 300:
            raise await error_of_open(call, response, self.pool, self._settings.max_answer)
        return response

    async def _passed_on(self, call: Call) -> aiohttp.ClientResponse:
        try:
            return await self._exchange.passed_on(call)
        except TransportError as error:
            if call.progress.sent and call.request.operation in PAID:
                raise call.progress.may_be_taken(call.request, error.message) from error
            raise

    async def _on_a_long_place(
        self, begin: Callable[[Call], Awaitable[aiohttp.ClientResponse]], call: Call
    ) -> aiohttp.ClientResponse:
        """Take a place and begin. If `begin` returns, the place stays taken until `_kept_open` releases it."""
        await self.pool.long_requests.acquire(first=call.goes_first, patience=call.timeouts.run)
        try:
            return await begin(call)
        except BaseException:
            self.pool.long_requests.release()
            raise

    @contextlib.asynccontextmanager
    async def _kept_open(
        self, call: Call, response: aiohttp.ClientResponse
    ) -> AsyncIterator[AiohttpOpenResponse]:
        try:
            yield AiohttpOpenResponse(response, call, self.pool)
        finally:
            response.close()
            self.pool.long_requests.release()


def _closed_during_call(call: Call) -> FalError:
    words = "the session was closed during the call"
    if call.progress.sent and call.request.operation in PAID:
        # `judge` makes it a SubmissionUncertainError, because fal may have accepted the request.
        return TransportError(words, retryable=False)
    return SessionStateError(words)


@contextlib.asynccontextmanager
async def _place(places: ConnectionLimiter, patience: float | None) -> AsyncIterator[None]:
    await places.acquire(patience=patience)
    try:
        yield
    finally:
        places.release()
