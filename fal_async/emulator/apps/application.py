"""Applications behind a base URL: those that run separately, and those that `hosted_application.py` serves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import BytesIO
from urllib.parse import urlsplit

import aiohttp
from aiohttp import WSMsgType
from multidict import CIMultiDict
from yarl import URL

from fal_async.emulator.apps.mounted_request import (
    BODILESS,
    LOST,
    Ask,
    Closing,
    Rejected,
    end_to_end,
    incomplete,
)
from fal_async.emulator.wire.answers import Answer, ModelError

_CONNECT_LIMIT = 10.0
"""Seconds until a connection must be open. Answers have no time limit."""
_SENDABLE = {1005: 1000, LOST: 1001}
"""Replacements for the codes of "no code" and "connection lost", which must not be sent (RFC 6455, 7.4.1)."""
_SET_BY_CLIENT = frozenset(
    {"host", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"}
) | frozenset({"sec-websocket-protocol"})
"""Headers that the new connection sets itself."""
_KEEP_ALIVE = 1.0
"""Seconds for which an idle connection is kept. App servers close theirs after 5 s (uvicorn, Node); a POST on a
connection that is closed at this moment would fail."""
_MAX_HEADER = 1 << 16
"""Bytes of a header of an answer."""
_NOT_ADDED = frozenset({"Accept", "Accept-Encoding", "User-Agent", "Content-Type"})
"""Headers that aiohttp would add, although the application must see only the caller's."""


def check_url(url: str) -> str:
    """Return the base URL without a slash at its end. Raise a ValueError, without secrets, if it is not one."""
    if "@" in url.partition("?")[0]:
        raise ValueError(
            "the base URL of a mounted application contains a user name: expected http://host:port"
        )
    if not _is_base(url):
        # The query is left out, since it may contain a secret.
        raise ValueError(
            f"{url.partition('?')[0]!r} is not the base URL of an application: expected http:// or https:// with a "
            "host, optionally a port and a path, but no query, such as http://127.0.0.1:8000"
        )
    return url.rstrip("/")


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_place = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return has_place and not parts.query and not parts.fragment


class Application:
    """A mounted application. Leaving `ask` or `connect` early also ends the call in the application."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the HTTP client. No request is sent: the application may start later."""
        self._http = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE),
            timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_LIMIT),
            skip_auto_headers=_NOT_ADDED,
            max_line_size=_MAX_HEADER,
            max_field_size=_MAX_HEADER,
        )

    async def close(self) -> None:
        if self._http is not None:
            http, self._http = self._http, None
            await http.close()

    @asynccontextmanager
    async def ask(self, ask: Ask) -> AsyncIterator[Response]:
        """Send an HTTP request. Raise fal's own `ModelError` if the application does not answer."""
        with _platform_errors():
            response = await self._open.request(
                ask.method,
                self._target(ask),
                headers=_headers(ask),
                data=BytesIO(ask.body) if ask.body else None,  # aiohttp warns of large `bytes`
                allow_redirects=False,
            )
        try:
            yield Response(response)
        finally:
            # Closed unless it was read to its end, so that the application notices that the caller disconnected.
            if not response.content.at_eof():
                response.close()
            response.release()

    @asynccontextmanager
    async def connect(self, ask: Ask) -> AsyncIterator[Channel]:
        """Open a WebSocket. Raise `Rejected` if it is refused, `ModelError` if the connection fails."""
        with _platform_errors():
            socket = await self._socket(ask)
        channel = Channel(socket)
        try:
            yield channel
        finally:
            await socket.close(code=1001)

    async def _socket(self, ask: Ask) -> aiohttp.ClientWebSocketResponse:
        try:
            return await self._open.ws_connect(
                self._target(ask),
                headers=_headers(ask),
                protocols=ask.protocols,
                autoclose=False,
                max_msg_size=0,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            )
        except aiohttp.WSServerHandshakeError as error:
            raise Rejected(Answer(error.status, end_to_end(CIMultiDict(error.headers or ())))) from error

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._http is None:
            raise RuntimeError("the emulator is not started")
        return self._http

    def _target(self, ask: Ask) -> URL:
        return URL(self._url + ask.path + (f"?{ask.query}" if ask.query else ""), encoded=True)


def _headers(ask: Ask) -> CIMultiDict[str]:
    return end_to_end(ask.headers, but=_SET_BY_CLIENT)


@contextmanager
def _platform_errors() -> Iterator[None]:
    """Turn connection failures into the errors that fal sends for them (protocol 9.2)."""
    try:
        yield
    except aiohttp.ServerTimeoutError as error:
        raise ModelError(503, "The connection timed out", "runner_connection_timeout") from error
    except aiohttp.ClientConnectorError as error:
        refused = isinstance(error.os_error, ConnectionRefusedError)
        kind = "runner_connection_refused" if refused else "runner_connection_error"
        raise ModelError(503, "The application can't be reached", kind) from error
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
        raise ModelError(503, "The application closed the connection", "runner_disconnected") from error
    except aiohttp.ClientError as error:
        raise incomplete(f"The application's answer is not HTTP: {type(error).__name__}") from error


class Response:
    """Status and headers of an answer; its body is read piece by piece."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status: int = response.status
        self.headers: CIMultiDict[str] = end_to_end(response.headers)

    @property
    def complete(self) -> bool:
        """Whether the body was read to its end."""
        return self._response.content.at_eof()

    @property
    def sized(self) -> bool:
        """Whether the length of the body is known, so that it can be read as a whole."""
        return self._response.status in BODILESS or "Content-Length" in self._response.headers

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the pieces of the body. Raise `ModelError` if the application stops within it."""
        try:
            async for piece in self._response.content.iter_any():
                yield piece
        except (aiohttp.ClientError, ConnectionError) as error:
            raise incomplete("The application broke off in the middle of its answer") from error


class Channel:
    """A WebSocket that the application accepted."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    @property
    def protocol(self) -> str | None:
        return self._socket.protocol

    async def receive(self) -> str | bytes | Closing:
        message = await self._socket.receive()
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            data: str | bytes = message.data
            return data
        code = message.data if isinstance(message.data, int) else self._socket.close_code or LOST
        return Closing(_SENDABLE.get(code, code), message.extra or "")

    async def send(self, frame: str | bytes) -> None:
        if isinstance(frame, str):
            await self._socket.send_str(frame)
        else:
            await self._socket.send_bytes(frame)

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code=_SENDABLE.get(code, code), message=reason.encode())
