"""Reading response bodies: whole within the time limits, in pieces, or of error responses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping

import aiohttp

from fal_async.errors import FalError, SessionStateError, TransportError
from fal_async.protocol.api_errors import error_of
from fal_async.protocol.http import REQUEST_ID, HttpResponse
from fal_async.transport.aiohttp_errors import aiohttp_errors
from fal_async.transport.attempt import Call
from fal_async.transport.attempt_clock import AttemptClock
from fal_async.transport.pool import Pool

_MAX_ERROR_BODY = 16 * 1024 * 1024
"""The most bytes of an error response that are kept."""


class AiohttpOpenResponse:
    """An open response over aiohttp. See `OpenResponse`."""

    def __init__(self, response: aiohttp.ClientResponse, call: Call, pool: Pool) -> None:
        self._response, self._call, self._pool = response, call, pool
        self.status: int = response.status
        self.headers: Mapping[str, str] = lower_names(response.headers)

    @property
    def request_id(self) -> str | None:
        return self.headers.get(REQUEST_ID)

    def close(self) -> None:
        self._response.close()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            with aiohttp_errors(self._call), self._pool.reading(self._response):
                async for chunk in self._response.content.iter_any():
                    yield chunk
        except TransportError as error:
            if not self._pool.closed:
                raise
            closed = SessionStateError("the session was closed during the call", request_id=self.request_id)
            raise closed.about(self._call.request.ref) from error.__cause__


async def read_in_time(response: aiohttp.ClientResponse, clock: AttemptClock, most: int) -> bytearray:
    """Read a body in pieces, each of which resets the clock, and return it.

    Reading stops when the body has more than `most` bytes, because a small compressed response may become large.
    """
    body = bytearray()
    clock.receives()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most:
            response.close()
            break
        clock.receives()
    return body


def kept_of(response: aiohttp.ClientResponse, max_answer: int) -> int:
    """Return the most bytes of the body that are kept: fewer for an error response."""
    return min(max_answer, _MAX_ERROR_BODY) if response.status >= 400 else max_answer


def within(most: int, response: aiohttp.ClientResponse, body: bytes | bytearray) -> bytes:
    """Return the body. If it has more than `most` bytes, raise TransportError; cut it if its status is an error."""
    if len(body) <= most:
        return bytes(body)
    if response.status >= 400:
        return bytes(body[:most])
    words = f"the response has more than {most} bytes: raise Session(max_answer=...)"
    raise TransportError(words, retryable=False)


def lower_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


async def error_of_open(
    call: Call, response: aiohttp.ClientResponse, pool: Pool, max_answer: int
) -> FalError:
    """Return the exception for an error response, and close the response. TransportError if reading it fails."""
    body, most = bytearray(), kept_of(response, max_answer)
    try:
        with aiohttp_errors(call), pool.reading(response):
            async with asyncio.timeout(call.timeouts.first_byte):
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > most:
                        break
    finally:
        response.close()
    answer = HttpResponse(
        status=response.status, headers=lower_names(response.headers), body=bytes(body[:most])
    )
    return error_of(call.request, answer, time.time())
