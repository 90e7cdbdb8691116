"""Bodies of answers: whole within their time limits, in pieces, and of errors."""

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


class AiohttpOpenResponse:
    """An answer whose body is read in pieces."""

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
            closed = SessionStateError("the session was closed meanwhile", request_id=self.request_id)
            raise closed.about(self._call.request.ref) from error.__cause__


async def read_in_time(response: aiohttp.ClientResponse, clock: AttemptClock) -> bytes:
    """A body that comes in pieces, each of which winds up the clock."""
    body = bytearray()
    clock.receives()
    async for chunk in response.content.iter_any():
        body += chunk
        clock.receives()
    return bytes(body)


def lower_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


async def error_of_open(call: Call, response: aiohttp.ClientResponse, pool: Pool) -> FalError:
    """What an answer with an error status means; TransportError where its body can't be read."""
    body = bytearray()
    try:
        with aiohttp_errors(call), pool.reading(response):
            async with asyncio.timeout(call.timeouts.first_byte):
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > _MAX_ERROR_BODY:
                        break
    finally:
        response.close()
    answer = HttpResponse(status=response.status, headers=lower_names(response.headers), body=bytes(body))
    return error_of(call.request, answer, time.time())
