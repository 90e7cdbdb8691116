"""Sending requests: the key, the time limits, the retries (run by backoff), the backup hosts."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Generator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import aiohttp
import attrs
from yarl import URL

from fal_async.auth.credentials import FixedKey, KeySource
from fal_async.cancellation import Progress
from fal_async.config import NO_KEY, RetryPolicy, Settings, Timeouts
from fal_async.errors import (
    AuthenticationError,
    ConfigurationError,
    FalError,
    TransportError,
    TransportTimeoutError,
    name_request,
)
from fal_async.protocol.api_errors import error_of
from fal_async.protocol.http import PAID, REQUEST_ID, HttpRequest, HttpResponse, Operation
from fal_async.protocol.options import merged_headers
from fal_async.protocol.origins import backup_url, host_of, may_have_key, redirect_target, without_query
from fal_async.protocol.retry import Verdict, allowed_attempts, allowed_seconds, delay_before_retry, judge
from fal_async.transport.attempt import (
    FAILURES,
    LONG,
    BrokenOff,
    Call,
    names_of,
    never_connected,
    sent_once,
    transport_error,
    unreachable,
)
from fal_async.transport.pool import Pool
from fal_async.transport.request_body import body_of
from fal_async.transport.response_body import OpenResponse, error_of_open, lower_names, read_in_time
from fal_async.transport.retry_hook import announce_retry
from fal_async.version import USER_AGENT

if TYPE_CHECKING:
    from fal_async.transport.websocket import WebSocket

logger = logging.getLogger("fal_async")
T = TypeVar("T")

_MAX_REDIRECTS = 5
_MAX_ERROR_BODY = 16 * 1024 * 1024
_STEPS_TO_NOTICE_PLAIN, _STEPS_TO_NOTICE = 2, 4
"""Steps of the event loop from a closed socket to a closed connection: two, and two more with TLS."""


class _Again(Exception):
    """For backoff: this attempt failed with `error`, and another one follows after `delay` seconds."""

    def __init__(self, error: FalError, delay: float) -> None:
        super().__init__()
        self.error, self.delay = error, delay


def _announced_delays() -> Generator[float, Any, None]:
    failure = yield 0.0  # backoff discards the first value, then sends each exception in
    while True:
        failure = yield failure.delay


async def _persist(first: _Again, attempt: Callable[[Call], Awaitable[T]], call: Call) -> T:
    """Further attempts, by backoff. The first one was made without it: what never fails pays neither for
    loading nor for decorating."""
    import backoff

    await asyncio.sleep(first.delay)
    again = backoff.on_exception(_announced_delays, _Again, jitter=None, logger=None)
    return await again(attempt)(call)


async def _notice_closed_connections(request: HttpRequest) -> None:
    """On an idle connection that the server has closed meanwhile, a paid request would break, and nobody would
    know whether it was taken: the loop takes note of such connections first."""
    if request.operation in PAID:
        for _ in range(_STEPS_TO_NOTICE if request.url.startswith("https") else _STEPS_TO_NOTICE_PLAIN):
            await asyncio.sleep(0)


class Transport:
    """Sends requests over a pool with one set of settings. Cheap: a view of a session has its own."""

    def __init__(self, pool: Pool, settings: Settings, keys: KeySource) -> None:
        self.pool, self.settings, self._keys = pool, settings, keys
        self._headers = merged_headers({"User-Agent": USER_AGENT}, settings.headers)
        self._fixed_key = keys.value if isinstance(keys, FixedKey) else None
        self.no_retry = attrs.evolve(settings.retry, max_attempts=1)
        # Nearly every URL begins with one of these: spared the look at its origin.
        self._homes = (f"{settings.hosts.queue}/", f"{settings.hosts.run}/")

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
        call.accept, call.check = accept, check
        if progress is not None:
            call.progress, progress.request = progress, request
        try:
            return await self._attempt(call)
        except _Again as again:
            first = again
        return await _persist(first, self._attempt, call)

    @contextlib.asynccontextmanager
    async def open(
        self,
        request: HttpRequest,
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        silence: float | None = None,
    ) -> AsyncIterator[OpenResponse]:
        """An answer to be read in pieces: only what comes before its body is retried, and nothing bounds it in all.

        `timeouts.first_byte` bounds the silence before it and, without a `silence` in seconds, within it.
        Leaving closes the connection at once.
        """
        call = self._call(request, timeouts, retry)
        call.limits = call.timeouts.first_byte, None
        call.silence = call.timeouts.first_byte if silence is None else silence
        async with self.pool.long_lane:
            try:
                response = await self._attempt_to_open(call)
            except _Again as again:
                response = await _persist(again, self._attempt_to_open, call)
            try:
                yield OpenResponse(response, call, lower_names(response.headers), self.pool)
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
        call.limits = call.timeouts.first_byte, None
        call.silence = call.timeouts.first_byte
        async with self.pool.long_lane:
            headers = await self._request_headers(call)
            await _notice_closed_connections(request)
            response = await self._request(call, request.url, headers)
            call.seen_id = response.headers.get(REQUEST_ID)
            try:
                yield OpenResponse(response, call, lower_names(response.headers), self.pool)
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
        endpoint_id: str | None = None,
    ) -> AsyncIterator[WebSocket]:
        """A WebSocket. `max_size` in bytes, 0 for no limit; `heartbeat` in seconds, None for none."""
        from fal_async.transport.websocket import CLOSE_WAIT, WebSocket

        request = HttpRequest(
            operation=Operation.STREAM,
            method="GET",
            url=url,
            headers=headers or {},
            auth=auth,
            endpoint_id=endpoint_id,
        )
        call = self._call(request, None, None)
        async with self.pool.long_lane, contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(connect_timeout):
                    raw = await stack.enter_async_context(
                        self.pool.http().ws_connect(
                            URL(url, encoded=True),
                            headers=await self._request_headers(call),
                            autoping=False,
                            max_msg_size=max_size,
                            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_WAIT),
                        )
                    )
            except aiohttp.WSServerHandshakeError as error:
                answer = HttpResponse(status=error.status, headers=lower_names(error.headers or {}), body=b"")
                # Not "from error": its text has the whole URL, and a token may be in there.
                raise error_of(request, answer, time.time()) from None
            except TimeoutError as error:
                words = f"no WebSocket to {host_of(url)} within {connect_timeout:g} s (connect_timeout)"
                raise TransportTimeoutError(words, endpoint_id=endpoint_id) from error
            except FAILURES as error:
                raise transport_error(call, error) from error
            if raw._response.history:  # aiohttp can't be told not to, and says so nowhere else
                words = f"{host_of(url)} redirected the WebSocket: that is not followed"
                raise TransportError(words, retryable=False, endpoint_id=endpoint_id)
            socket = WebSocket(raw, heartbeat)
            try:
                yield socket
            finally:
                socket.detach()
                await socket.close()

    # One call and its attempts.

    def _call(self, request: HttpRequest, timeouts: Timeouts | None, retry: RetryPolicy | None) -> Call:
        return Call(request, retry or self.settings.retry, timeouts or self.settings.timeouts)

    async def _attempt(self, call: Call) -> HttpResponse:
        call.begin_attempt()
        request = call.request
        # An upload holds its connection as long as its body takes.
        holds = request.operation in LONG or request.operation is Operation.UPLOAD
        try:
            self.pool.http()  # before the lane, which may be full: a wrong loop is told at once
            async with self.pool.long_lane if holds else self.pool.short_lane:
                response = await self._whole_answer(call)
            if not 200 <= response.status < 300 and response.status not in call.accept:
                raise error_of(request, response, time.time())
            if call.check is not None:
                call.check(response)
        except FalError as error:
            self._go_on_after(call, error)
        self.pool.budget.succeeded()
        return response

    async def _attempt_to_open(self, call: Call) -> aiohttp.ClientResponse:
        call.begin_attempt()
        try:
            response = await self._begin_in_time(call)
            if not 200 <= response.status < 300:
                raise await error_of_open(call, response)
        except FalError as error:
            self._go_on_after(call, error)
        self.pool.budget.succeeded()
        return response

    async def _begin_in_time(self, call: Call) -> aiohttp.ClientResponse:
        try:
            async with asyncio.timeout(call.limits[0]):
                return await self._begin(call)
        except FalError:
            raise
        except TimeoutError as error:
            raise transport_error(call, error) from error

    def _go_on_after(self, call: Call, error: FalError) -> NoReturn:
        outcome = self._next_step(call, error)
        if outcome is error:
            raise error
        raise outcome from error

    def _next_step(self, call: Call, error: FalError) -> Exception:
        """The exception to go on with: `_Again`, or what the caller gets."""
        request = call.request
        name_request(error, request.request_id, request.endpoint_id)
        if isinstance(error, AuthenticationError) and request.auth:
            return self._after_refused_key(call, error)
        verdict = judge(request, error, sent=call.progress.sent, policy=call.policy)
        if verdict is Verdict.UNCERTAIN:
            return call.progress.uncertain(request, error.message, error.request_id or call.seen_id)
        delay = self._affordable_delay(call, error) if verdict is Verdict.RETRY else None
        if delay is None or call.progress.given_up:
            logger.debug("%s failed: %s", request.operation, error)
            return error
        announce_retry(call.policy, request.operation.value, call.attempts, error, delay)
        call.progress.sent = False
        return _Again(error, delay)

    def _after_refused_key(self, call: Call, error: AuthenticationError) -> Exception:
        if not call.had_key:
            # Public models take no key, so its absence shows only now.
            return ConfigurationError(NO_KEY, **names_of(call.request))
        # Nothing was done with a wrong key, so nothing is done twice.
        again, call.key_renewed = self._keys.renew() and not call.key_renewed, True
        return _Again(error, 0.0) if again else error

    def _affordable_delay(self, call: Call, error: FalError) -> float | None:
        if call.attempts >= allowed_attempts(call.request, call.policy):
            return None
        persistent = call.request.persistent
        reached = call.progress.sent or persistent or not isinstance(error, TransportError)
        delay = delay_before_retry(call.policy, call.attempts, error, random.random(), reached=reached)
        if delay is None and persistent:
            delay = call.policy.max_retry_after
        if delay is None or time.monotonic() - call.began + delay > allowed_seconds(
            call.request, call.policy
        ):
            return None
        # A result that is paid for is not lost to an empty budget: its tries are far apart anyway.
        return delay if self.pool.budget.take(error) or persistent else None

    # One attempt.

    async def _whole_answer(self, call: Call) -> HttpResponse:
        """One clock for each attempt: until the first byte, then until the next one, and at last until the end."""
        began = asyncio.get_running_loop().time()
        silence, total = call.limits
        clock = asyncio.timeout(silence)
        response: aiohttp.ClientResponse | None = None
        try:
            async with clock:
                response = await self._begin(call)
                if response.content.is_eof():
                    body = await response.read()
                else:
                    with self.pool.reading(response):
                        body = await read_in_time(
                            response, clock, silence, None if total is None else began + total
                        )
        except BaseException as error:
            if response is not None:
                response.close()  # at once, also where the caller is cancelled: it stops what runs for it
            if isinstance(error, FAILURES) and not isinstance(error, FalError):
                raise transport_error(call, error) from error
            raise
        return HttpResponse(
            status=response.status, headers=lower_names(response.headers), body=body, attempts=call.attempts
        )

    async def _begin(self, call: Call) -> aiohttp.ClientResponse:
        """Up to the answer's headers. A read that is redirected within its own origin is followed."""
        request, url = call.request, call.request.url
        headers = await self._request_headers(call)
        await _notice_closed_connections(request)
        call.progress.began_at = time.time()
        for _ in range(_MAX_REDIRECTS):
            response = await self._request(call, url, headers)
            call.progress.sent, call.seen_id = True, response.headers.get(REQUEST_ID)
            if logger.isEnabledFor(logging.DEBUG):
                request_id = request.request_id or call.seen_id
                shown = f"{request.method} {without_query(url)}"
                logger.debug("%s -> %d (request %s)", shown, response.status, request_id)
            if response.status < 300:
                if response.status < 200:
                    response.close()  # 101: HTTP is over on this connection, and aiohttp would keep it
                return response
            target = redirect_target(request, url, response.status, response.headers.get("Location"))
            if target is None:
                return response
            response.release()
            url = target
        raise TransportError("redirected in a circle", retryable=False, **names_of(request))

    async def _request(
        self, call: Call, url: str, headers: Mapping[str, str], first: BaseException | None = None
    ) -> aiohttp.ClientResponse:
        """`first`: why the primary host was not reached, where this is the try on the backup host."""
        request, target = call.request, url
        if self.settings.proxy_url is not None and request.auth:
            headers = {**headers, "x-fal-target-url": url}
            target = self.settings.proxy_url
        http = self.pool.http()
        # Only a body tells when it leaves: a request without one counts as sent, unless it surely was not.
        call.progress.sent = request.body is None
        once = request.operation in PAID and request.method != "POST"
        try:
            return await http.request(
                request.method,
                URL(target, encoded=True),
                data=body_of(request, call.progress),
                headers=headers,
                timeout=_client_timeout(call.timeouts.connect, call.silence, self.pool.is_ours),
                allow_redirects=False,
                raise_for_status=False,  # whatever a borrowed session would do
                middlewares=(sent_once,) if once else None,
            )
        except BrokenOff as broken:
            raise transport_error(call, broken.error) from broken.error
        except FAILURES as error:
            if request.body is None and never_connected(error):
                call.progress.sent = False
            backup = self._backup_of(url, call, error) if first is None else None
            if backup is None:
                reported = first if first is not None and never_connected(error) else error
                raise transport_error(call, reported) from reported
            unreached = error
        # "One single extra attempt, only if the connection could not be established" (protocol 1.1).
        return await self._request(call, backup, headers, first=unreached)

    def _backup_of(self, url: str, call: Call, error: BaseException) -> str | None:
        usable = self.settings.hosts.backup and not call.progress.sent and unreachable(error)
        return backup_url(url) if usable else None

    async def _request_headers(self, call: Call) -> dict[str, str]:
        request = call.request
        if self.settings.headers:
            headers = merged_headers(self._headers, request.headers)
        else:
            headers = {**self._headers, **request.headers}
        if not request.auth:
            return headers
        if not request.url.startswith(self._homes) and not may_have_key(request.url, self.settings.hosts):
            host = host_of(request.url)
            logger.warning("%s: %s is none of the session's hosts: no key for it", request.operation, host)
            return headers
        key = self._fixed_key or await self._keys.header(self)
        if key is not None:
            headers["Authorization"] = key
        call.had_key = key is not None or self.settings.proxy_url is not None
        return headers


@functools.lru_cache(maxsize=64)
def _client_timeout(connect: float | None, silence: float | None, own_pool: bool) -> aiohttp.ClientTimeout:
    # aiohttp's `connect` alone covers the name look-up; it also covers the wait for a free connection,
    # of which only our own pool, with its lanes, has always one.
    whole = connect if own_pool else None
    return aiohttp.ClientTimeout(total=None, connect=whole, sock_connect=connect, sock_read=silence)
