"""Bodies of answers: whole within their time limits, in pieces, and of errors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping

import aiohttp

from fal_async.errors import FalError, SessionStateError
from fal_async.protocol.api_errors import error_of
from fal_async.protocol.http import REQUEST_ID, HttpResponse
from fal_async.transport.attempt import FAILURES, Call, names_of, transport_error
from fal_async.transport.pool import Pool

_MAX_ERROR_BODY = 16 * 1024 * 1024


class OpenResponse:
    """An answer whose body is read in pieces."""

    def __init__(
        self, response: aiohttp.ClientResponse, call: Call, headers: Mapping[str, str], pool: Pool
    ) -> None:
        self._response, self._call, self._pool = response, call, pool
        self.status = response.status
        self.headers = headers

    @property
    def request_id(self) -> str | None:
        return self.headers.get(REQUEST_ID)

    def close(self) -> None:
        """At once, without waiting for anything."""
        self._response.close()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. TransportError where it breaks off or stalls, SessionStateError where the session
        is closed meanwhile."""
        try:
            with self._pool.reading(self._response):
                async for chunk in self._response.content.iter_any():
                    yield chunk
        except FAILURES as error:
            if self._pool.closed:
                names = names_of(self._call.request) | {"request_id": self.request_id}
                raise SessionStateError("the session was closed meanwhile", **names) from error
            raise transport_error(self._call, error) from error


async def read_in_time(
    response: aiohttp.ClientResponse, clock: asyncio.Timeout, silence: float | None, end: float | None
) -> bytes:
    """A body that comes in pieces: none may take longer than `silence`, nor all of them until after `end`."""
    loop, body = asyncio.get_running_loop(), bytearray()

    def wind_up() -> None:
        limits = [end, None if silence is None else loop.time() + silence]
        clock.reschedule(min((limit for limit in limits if limit is not None), default=None))

    wind_up()
    async for chunk in response.content.iter_any():
        body += chunk
        wind_up()
    return bytes(body)


def lower_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


async def error_of_open(call: Call, response: aiohttp.ClientResponse) -> FalError:
    try:
        body = await response.content.read(_MAX_ERROR_BODY)
    except FAILURES as error:
        return transport_error(call, error)
    finally:
        response.close()
    answer = HttpResponse(status=response.status, headers=lower_names(response.headers), body=body)
    return error_of(call.request, answer, time.time())
