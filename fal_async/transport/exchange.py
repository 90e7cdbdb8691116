"""One attempt: send an HTTP request over the pool and receive its response, within the time limits."""

from __future__ import annotations

import contextlib
import functools
import logging
import time

import aiohttp
from yarl import URL

from fal_async.config import Settings
from fal_async.errors import TransportError
from fal_async.protocol.http import PAID, REQUEST_ID, SECRET, HttpResponse
from fal_async.protocol.origins import backup_url, redirect_target, without_query
from fal_async.transport.aiohttp_errors import (
    FAILURES,
    BrokenOff,
    aiohttp_errors,
    never_connected,
    raise_as_ours,
    sent_once,
    transport_error,
    unreachable,
)
from fal_async.transport.attempt import Call
from fal_async.transport.attempt_clock import AttemptClock
from fal_async.transport.kept_connections import close_noisy_ones
from fal_async.transport.pool import Pool
from fal_async.transport.request_body import body_of
from fal_async.transport.request_headers import RequestHeaders
from fal_async.transport.response_body import kept_of, lower_names, read_in_time, within

logger: logging.Logger = logging.getLogger("fal_async")

_MAX_REDIRECTS = 5


class Exchange:
    """Makes single attempts with one set of settings.

    Before each, the caller sets `call.headers` and takes a place of a `ConnectionLimiter`.
    """

    def __init__(self, pool: Pool, settings: Settings, headers: RequestHeaders) -> None:
        self._pool, self._settings, self._headers = pool, settings, headers

    async def whole_answer(self, call: Call) -> HttpResponse:
        """Return the response with its whole body, whatever its status."""
        response: aiohttp.ClientResponse | None = None
        try:
            async with self._clock(call) as clock:
                response = await self._begin(call)
                most = kept_of(response, self._settings.max_answer)
                if response.content.is_eof():
                    body = within(most, response, await response.read())
                else:
                    with self._pool.reading(response):
                        body = within(most, response, await read_in_time(response, clock, most))
        except BaseException as error:
            if response is not None:
                response.close()  # also if the caller is cancelled, so that the model can notice it and stop
            raise_as_ours(call, error)
            raise
        return HttpResponse(
            status=response.status,
            headers=lower_names(response.headers),
            body=body,
            attempts=call.attempts,
            is_secret=call.request.operation in SECRET,
        )

    async def begun(self, call: Call) -> aiohttp.ClientResponse:
        """Return the response as soon as its headers have arrived. The body is not read yet."""
        with aiohttp_errors(call):
            async with self._clock(call):
                return await self._begin(call)

    async def passed_on(self, call: Call) -> aiohttp.ClientResponse:
        """Return the response like `begun`, but don't follow redirects."""
        with aiohttp_errors(call):
            async with self._clock(call):
                response = await self.request(call, call.request.url)
        call.seen_id = response.headers.get(REQUEST_ID)
        return response

    def _clock(self, call: Call) -> AttemptClock:
        # Sending the body is limited by the session's `first_byte`, not by the call's limits: a direct run may wait
        # an hour for its response, but not for its body to be sent.
        call.clock = AttemptClock(self._settings.timeouts.first_byte, *call.limits)
        return call.clock

    async def _begin(self, call: Call) -> aiohttp.ClientResponse:
        """Return the response as soon as its headers have arrived, after the redirects that may be followed."""
        request, url = call.request, call.request.url
        call.progress.began_at = time.time()
        for _ in range(_MAX_REDIRECTS):
            response = await self.request(call, url)
            call.progress.sent, call.seen_id = True, response.headers.get(REQUEST_ID)
            if logger.isEnabledFor(logging.DEBUG):
                request_id = request.request_id or call.seen_id
                shown = f"{request.method} {without_query(url)}"
                logger.debug("%s -> %d (request %s)", shown, response.status, request_id)
            if response.status < 300:
                if response.status < 200:
                    response.close()  # after a 101 the connection no longer speaks HTTP, but aiohttp would reuse it
                return response
            target = redirect_target(request, url, response.status, response.headers.get("Location"))
            if target is None:
                return response
            response.release()
            call.headers = self._headers.redirected(request, url, target, call.headers)
            url = target
        raise TransportError(f"gave up after {_MAX_REDIRECTS} redirects", retryable=False).about(request.ref)

    async def request(
        self, call: Call, url: str, first: BaseException | None = None
    ) -> aiohttp.ClientResponse:
        """Send one HTTP request and return its response as soon as the headers have arrived.

        If the host can't be reached, it is sent once to the backup host. `first` is the error of the primary host
        when it is sent to the backup host, else None.
        """
        request = call.request
        headers, target = self._headers.addressed(request, url, call.headers)
        address = _address(target)
        http, call.route = self._pool.http(), self._pool.route_to(target)
        if not self._pool.is_ours:
            await close_noisy_ones(http, request)
        # Only a body reports when it is sent. A request without a body counts as sent once a connection was made.
        call.progress.sent = request.body is None
        once = request.method != "POST" and (request.operation in PAID or callable(request.body))
        try:
            return await http.request(
                request.method,
                address,
                data=body_of(call),
                headers=headers,
                timeout=_client_timeout(call.timeouts.connect, call.silence, self._pool.is_ours),
                allow_redirects=False,
                middlewares=(sent_once,) if once else (),
                proxy=call.route.proxy,
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
        return await self.request(call, backup, first=unreached)

    def _backup_of(self, url: str, call: Call, error: BaseException) -> str | None:
        """Return the URL on the backup host; None if it must not be used, or fal has none for this host."""
        usable = self._settings.hosts.backup and not call.progress.sent and unreachable(error)
        return backup_url(url) if usable else None


def _address(url: str) -> URL:
    """Parse a URL that comes from a response or from `hosts=`.

    TransportError if its host or port can't be used: aiohttp would raise other errors, and not before it connects.
    """
    with contextlib.suppress(ValueError):  # the error below does not name the URL, which may be signed
        address = URL(url, encoded=True)
        if address.scheme in ("http", "https") and address.host is not None and address.port != 0:
            return address
    raise TransportError("the URL has no host or port that can be reached", retryable=False)


@functools.lru_cache(maxsize=64)
def _client_timeout(connect: float | None, silence: float | None, own_pool: bool) -> aiohttp.ClientTimeout:
    # Only aiohttp's `connect` covers the name look-up. It also covers the wait for a free connection, so it is used
    # only for our own pool, whose limiters make sure that a connection is free.
    whole = connect if own_pool else None
    return aiohttp.ClientTimeout(total=None, connect=whole, sock_connect=connect, sock_read=silence)
