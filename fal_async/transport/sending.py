"""Sending requests: the key, the time limits, the retries (run by backoff), the backup hosts."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Generator, Mapping
from typing import Any, TypeVar

import aiohttp
import attrs
import backoff
from yarl import URL

from fal_async.config import NO_KEY, Retry, RetryPolicy, Settings, Timeouts
from fal_async.credentials import FixedKey, KeySource
from fal_async.errors import AuthenticationError, ConfigurationError, FalError, TransportError
from fal_async.protocol.http import (
    REQUEST_ID,
    HttpRequest,
    HttpResponse,
    Operation,
    backup_url,
    error_of,
    host_of,
    may_have_key,
    redirect_target,
    without_query,
)
from fal_async.protocol.retry import (
    Verdict,
    allowed_attempts,
    allowed_seconds,
    delay_before_retry,
    judge,
)
from fal_async.supervision import Progress
from fal_async.transport.call import (
    FAILURES,
    LONG,
    Call,
    names_of,
    never_connected,
    transport_error,
    uncertain,
)
from fal_async.transport.pool import Pool
from fal_async.transport.websocket import WebSocket
from fal_async.version import USER_AGENT

logger = logging.getLogger("fal_async")
T = TypeVar("T")

_MAX_REDIRECTS = 5
_MAX_ERROR_BODY = 16 * 1024 * 1024
_LARGE_BODY = 512 * 1024


class _Again(Exception):
    """For backoff: this attempt failed with `error`, and another one follows after `delay` seconds."""

    def __init__(self, error: FalError, delay: float) -> None:
        super().__init__()
        self.error, self.delay = error, delay


def _announced_delays() -> Generator[float, Any, None]:
    failure = yield 0.0  # backoff discards the first value, then sends each exception in
    while True:
        failure = yield failure.delay


class OpenResponse:
    """An answer whose body is read in pieces."""

    def __init__(self, response: aiohttp.ClientResponse, call: Call, headers: Mapping[str, str]) -> None:
        self._response, self._call = response, call
        self.status = response.status
        self.headers = headers

    @property
    def request_id(self) -> str | None:
        return self.headers.get(REQUEST_ID)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. TransportError where it breaks off or stalls."""
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except FAILURES as error:
            raise transport_error(self._call, error) from error


class Transport:
    """Sends requests over a pool with one set of settings. Cheap: a view of a session has its own."""

    def __init__(self, pool: Pool, settings: Settings, keys: KeySource) -> None:
        self.pool, self.settings, self._keys = pool, settings, keys
        self._headers = {"User-Agent": USER_AGENT, **settings.headers}
        self._fixed_key = keys.value if isinstance(keys, FixedKey) else None
        self.no_retry = attrs.evolve(settings.retry, max_attempts=1)

    async def send(
        self,
        request: HttpRequest,
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        accept: Collection[int] = (),
        check: Callable[[HttpResponse], None] | None = None,
        progress: Progress | None = None,
    ) -> HttpResponse:
        """A whole answer with a 2xx status, or one of `accept`; retried inside, and only here.

        `check` may refuse an answer with a FalError, inside the retries. `progress` is kept up to date.

        Raises ApiError and its kinds, TransportError, SubmissionUncertainError, SessionStateError.
        """
        call = self._call(request, timeouts, retry)
        if progress is not None:
            call.progress = progress

        async def attempt() -> HttpResponse:
            async with self._lane(request):
                response = await self._whole_answer(call)
            if 200 <= response.status < 300 or response.status in accept:
                if check is not None:
                    check(response)
                return response
            raise error_of(request, response, time.time())

        return await self._with_retries(call, attempt)

    @contextlib.asynccontextmanager
    async def open(
        self,
        request: HttpRequest,
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
    ) -> AsyncIterator[OpenResponse]:
        """An answer to be read in pieces: only what comes before its body is retried, and nothing bounds it in all.

        `timeouts.first_byte` bounds the silence before and within it. Leaving closes the connection at once.
        """
        call = self._call(request, timeouts, retry)
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=call.timeouts.connect, sock_read=call.timeouts.first_byte
        )

        async def attempt() -> aiohttp.ClientResponse:
            response = await self._begin(call, limits)
            if 200 <= response.status < 300:
                return response
            raise await _error_of_open(call, response)

        async with self.pool.long_lane:
            response = await self._with_retries(call, attempt)
            try:
                yield OpenResponse(response, call, _lower(response.headers))
            finally:
                response.close()

    @contextlib.asynccontextmanager
    async def pass_through(
        self, request: HttpRequest, *, timeouts: Timeouts | None = None
    ) -> AsyncIterator[OpenResponse]:
        """One attempt, and whatever it is answered, to be read in pieces: for a proxy, which only passes on.

        Nothing is retried, no redirect followed, no status made an error. Limits as in `open`.
        """
        call = self._call(request, timeouts, self.no_retry)
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=call.timeouts.connect, sock_read=call.timeouts.first_byte
        )
        async with self._lane(request):
            headers = await self._request_headers(call)
            response = await self._once_or_on_the_backup(call, request.url, headers, limits)
            call.seen_id = response.headers.get(REQUEST_ID)
            try:
                yield OpenResponse(response, call, _lower(response.headers))
            finally:
                response.close()

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
    ) -> AsyncIterator[WebSocket]:
        """A WebSocket. `max_size` in bytes, 0 for no limit; `heartbeat` in seconds, None for none."""
        request = HttpRequest(
            operation=Operation.STREAM, method="GET", url=url, headers=headers or {}, auth=auth
        )
        call = self._call(request, None, None)
        async with self.pool.long_lane, contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(connect_timeout):
                    raw = await stack.enter_async_context(
                        self.pool.http().ws_connect(
                            URL(url, encoded=True),
                            headers=await self._request_headers(call),
                            heartbeat=heartbeat,
                            max_msg_size=max_size,
                        )
                    )
            except aiohttp.WSServerHandshakeError as error:
                answer = HttpResponse(status=error.status, headers=_lower(error.headers or {}), body=b"")
                raise error_of(request, answer, time.time()) from error
            except FAILURES as error:
                raise transport_error(call, error) from error
            yield WebSocket(raw)

    # One call and its attempts.

    def _call(self, request: HttpRequest, timeouts: Timeouts | None, retry: RetryPolicy | None) -> Call:
        return Call(request, retry or self.settings.retry, timeouts or self.settings.timeouts)

    def _lane(self, request: HttpRequest) -> asyncio.Semaphore:
        return self.pool.long_lane if request.operation in LONG else self.pool.short_lane

    async def _with_retries(self, call: Call, attempt: Callable[[], Awaitable[T]]) -> T:
        async def judged() -> T:
            call.attempts += 1
            call.progress.sent = False
            try:
                result = await attempt()
            except FalError as error:
                outcome = self._next_step(call, error)
                if outcome is error:
                    raise
                raise outcome from error
            self.pool.budget.succeeded()
            return result

        try:
            return await judged()
        except _Again as again:
            first = again
        # The first attempt was made without backoff: what never fails doesn't pay for its decorator.
        await asyncio.sleep(first.delay)
        persist = backoff.on_exception(_announced_delays, _Again, jitter=None, logger=None)
        return await persist(judged)()

    def _next_step(self, call: Call, error: FalError) -> Exception:
        """The exception to go on with: `_Again`, or what the caller gets."""
        request = call.request
        if isinstance(error, AuthenticationError) and request.auth:
            return self._after_refused_key(call, error)
        verdict = judge(request, error, sent=call.progress.sent, policy=call.policy)
        if verdict is Verdict.UNCERTAIN:
            return uncertain(call, error)
        delay = self._affordable_delay(call, error) if verdict is Verdict.RETRY else None
        if delay is None:
            logger.debug("%s failed: %s", request.operation, error)
            return error
        self._announce(call, error, delay)
        call.progress.sent = False
        return _Again(error, delay)

    def _after_refused_key(self, call: Call, error: AuthenticationError) -> Exception:
        if not call.had_key:
            # Public models take no key, so its absence shows only now.
            return ConfigurationError(NO_KEY, **names_of(call.request))
        # Nothing was done with a wrong key, so nothing is done twice.
        return _Again(error, 0.0) if self._keys.renew() else error

    def _affordable_delay(self, call: Call, error: FalError) -> float | None:
        if call.attempts >= allowed_attempts(call.request, call.policy):
            return None
        delay = delay_before_retry(call.policy, call.attempts, error, random.random())
        if delay is None:
            return None
        spent = time.monotonic() - call.began
        if spent + delay > allowed_seconds(call.request, call.policy) or not self.pool.budget.take(error):
            return None
        return delay

    def _announce(self, call: Call, error: FalError, delay: float) -> None:
        request = call.request
        logger.info(
            "%s: attempt %d failed (%s); the next one follows in %.2f s (request %s)",
            request.operation,
            call.attempts,
            error,
            delay,
            request.request_id,
        )
        if call.policy.on_retry is not None:
            call.policy.on_retry(
                Retry(
                    operation=request.operation.value,
                    attempt=call.attempts,
                    delay=delay,
                    error=error,
                    endpoint_id=request.endpoint_id,
                    request_id=request.request_id,
                )
            )

    # One attempt.

    async def _whole_answer(self, call: Call) -> HttpResponse:
        response = await self._begin(call, _limits(call.timeouts, call.request.operation in LONG))
        try:
            body = await response.read()
        except FAILURES as error:
            response.close()
            raise transport_error(call, error) from error
        headers = _lower(response.headers)
        return HttpResponse(status=response.status, headers=headers, body=body, attempts=call.attempts)

    async def _begin(self, call: Call, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        """Up to the answer's headers. A read that is redirected within its own origin is followed."""
        request, url = call.request, call.request.url
        call.began_at = time.time()
        headers = await self._request_headers(call)
        for _ in range(_MAX_REDIRECTS):
            response = await self._once_or_on_the_backup(call, url, headers, limits)
            call.progress.sent, call.seen_id = True, response.headers.get(REQUEST_ID)
            logger.debug(
                "%s %s -> %d (request %s)",
                request.method,
                without_query(url),
                response.status,
                request.request_id or call.seen_id,
            )
            target = redirect_target(request, url, response.status, response.headers.get("Location"))
            if target is None:
                return response
            response.release()
            url = target
        raise TransportError("redirected in a circle", retryable=False, **names_of(request))

    async def _once_or_on_the_backup(
        self, call: Call, url: str, headers: Mapping[str, str], limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        try:
            return await self._request(call, url, headers, limits)
        except FAILURES as error:
            backup = backup_url(url) if self.settings.hosts.backup and not call.progress.sent else None
            if backup is None or not never_connected(error):
                raise transport_error(call, error) from error
            first = error
        # "One single extra attempt, only if the connection could not be established" (protocol 1.1).
        try:
            return await self._request(call, backup, headers, limits)
        except FAILURES as error:
            reported = first if never_connected(error) else error
            raise transport_error(call, reported) from reported

    async def _request(
        self, call: Call, url: str, headers: Mapping[str, str], limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        request = call.request
        if self.settings.proxy_url is not None and request.auth:
            headers = {**headers, "x-fal-target-url": url}
            url = self.settings.proxy_url
        http = self.pool.http()
        try:
            return await http.request(
                request.method,
                URL(url, encoded=True),
                data=_body_of(request),
                headers=headers,
                timeout=limits,
                allow_redirects=False,
                trace_request_ctx=call,
            )
        except FAILURES as error:
            # A borrowed session has no trace of ours: there, what is not surely unsent counts as sent.
            call.progress.sent = call.progress.sent or not (self.pool.traced or never_connected(error))
            raise

    async def _request_headers(self, call: Call) -> dict[str, str]:
        request = call.request
        headers = {**self._headers, **request.headers}
        if not request.auth:
            return headers
        if not may_have_key(request.url, self.settings.hosts):
            host = host_of(request.url)
            logger.warning("%s: %s is none of the session's hosts: no key for it", request.operation, host)
            return headers
        key = self._fixed_key or await self._keys.header(self)
        if key is not None:
            headers["Authorization"] = key
        call.had_key = key is not None or self.settings.proxy_url is not None
        return headers


@functools.lru_cache(maxsize=256)
def _limits(timeouts: Timeouts, long: bool) -> aiohttp.ClientTimeout:
    silence = timeouts.run if long else timeouts.first_byte
    total = timeouts.run if long else timeouts.total
    return aiohttp.ClientTimeout(total=total, sock_connect=timeouts.connect, sock_read=silence)


def _body_of(request: HttpRequest) -> Any:
    if callable(request.body):
        return request.body()
    if request.body is not None and len(request.body) > _LARGE_BODY:
        return io.BytesIO(
            request.body
        )  # aiohttp sends it in pieces: the loop is not held up by one big write
    return request.body


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


async def _error_of_open(call: Call, response: aiohttp.ClientResponse) -> FalError:
    try:
        body = await response.content.read(_MAX_ERROR_BODY)
    except FAILURES as error:
        return transport_error(call, error)
    finally:
        response.close()
    answer = HttpResponse(status=response.status, headers=_lower(response.headers), body=body)
    return error_of(call.request, answer, time.time())
