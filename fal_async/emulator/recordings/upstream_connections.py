"""The connections to fal while it is recorded, and the error of those that fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp
from yarl import URL

from fal_async.version import __version__

_CONNECT_LIMIT = 15.0
"""Seconds until a connection must be open."""
_READ_LIMIT = 60.0
"""Seconds without a byte of the answer to a request that is not billed. Others have no limit: models take hours."""
_MAX_HEADER = 1 << 16
"""Bytes of a header of an answer."""


class UpstreamError(Exception):
    """Upstream could not be reached, or broke off; the text has neither key nor query.

    Args:
        reason: what happened.
        sent: whether the request may have arrived; default True.
        status: the status that the caller gets. None (default): that of a lost connection.
    """

    def __init__(self, reason: str, *, sent: bool = True, status: int | None = None) -> None:
        super().__init__(reason)
        self.sent: bool = sent
        self.status: int | None = status


class _BrokenOff(aiohttp.ClientConnectionError):
    """Replaces the error of a broken connection: for this class, aiohttp does not send the request again."""


async def _sent_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Middleware that prevents aiohttp from sending a GET or a PUT again when the connection breaks."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _BrokenOff(str(error)) from error


def new_session(*, paid: bool) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=0, force_close=paid),
        timeout=aiohttp.ClientTimeout(
            total=None, connect=_CONNECT_LIMIT, sock_read=None if paid else _READ_LIMIT
        ),
        headers={"User-Agent": f"fal-async-emulator/{__version__}"},
        skip_auto_headers=("Content-Type",),
        middlewares=(_sent_once,) if paid else (),
        max_line_size=_MAX_HEADER,
        max_field_size=_MAX_HEADER,
    )


@asynccontextmanager
async def closing(response: aiohttp.ClientResponse) -> AsyncIterator[None]:
    """Close a response that is not read to its end, so that upstream notices that its caller has left."""
    try:
        yield
    finally:
        if not response.content.at_eof():
            response.close()
        response.release()


@contextmanager
def failures(url: URL) -> Iterator[None]:
    place = f"{url.scheme}://{url.raw_authority}{url.raw_path}"
    try:
        yield
    except aiohttp.ClientConnectorError as error:
        raise UpstreamError(f"{place} can't be reached: {error.os_error}", sent=False) from None
    except aiohttp.ConnectionTimeoutError:
        raise UpstreamError(f"{place} can't be reached within {_CONNECT_LIMIT:g} s", sent=False) from None
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        # Without the cause, whose text may have the query of a presigned URL.
        raise UpstreamError(f"{place} broke off: {type(error).__name__}") from None
