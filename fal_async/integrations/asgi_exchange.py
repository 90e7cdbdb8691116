"""The request body and the response of one ASGI exchange of the proxy, both streamed and with time limits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from fal_async.config import Timeouts
from fal_async.integrations.disconnect import disconnected
from fal_async.protocol.proxy.headers import too_large
from fal_async.protocol.proxy.rules import Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


_AHEAD = 1024 * 1024
"""Bytes of a body that are read before a connection is used for it. Most bodies are smaller."""
_SLOWEST = 64 * 1024
"""The time limit of a body grows by a second for each of these bytes, so that a large body may take longer."""
_MOST_SILENCE, _MOST_SECONDS = 60.0, 120.0
"""Seconds that replace `Timeouts.first_byte` and `Timeouts.total` if the session has no such limits."""


class CallerLeft(Exception):
    """The caller disconnected before the end of the body."""


class RequestBody:
    """The caller's request body, which is read on demand. After it, `gone` waits for the caller's disconnect.

    Raises Refusal if the body has more than `limit` bytes (413) or arrives too slowly (408). It is too slow if
    nothing arrives for half of `timeouts.first_byte`, or not all of it within `timeouts.total` plus a second for
    each 64 KiB.
    """

    def __init__(self, receive: Receive, limit: int, timeouts: Timeouts) -> None:
        self._receive, self._limit = receive, limit
        # The body of an untrusted caller has limits even if the session has none. The limit for silence is shorter
        # than that for fal's response.
        self._silence = (timeouts.first_byte or _MOST_SILENCE) / 2
        self._seconds = timeouts.total or _MOST_SECONDS
        self._began = asyncio.get_running_loop().time()
        self._size = 0
        self._ahead = bytearray()
        self._read = asyncio.Event()
        self.refusal: Refusal | None = None
        """The Refusal for which `chunks` stopped. Its reader, aiohttp, gets a ConnectionError instead."""

    async def read_ahead(self) -> bytes | None:
        """Return the whole body; None if it is larger than 1 MiB: then read it with `chunks`. Raises CallerLeft."""
        while not self._read.is_set():
            self._ahead += await self._next()
            if len(self._ahead) > _AHEAD:
                return None
        return bytes(self._ahead)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes read ahead, then the rest.

        Raises ConnectionError if the body is refused or the caller disconnects. aiohttp then aborts its request.
        """
        yield bytes(self._ahead)
        self._ahead.clear()
        try:
            while not self._read.is_set():
                if data := await self._next():
                    yield data
        except Refusal as refusal:
            self.refusal = refusal
            raise ConnectionError(refusal.reason) from None
        except CallerLeft:
            raise ConnectionError("the caller disconnected") from None
        finally:
            self._read.set()

    async def gone(self) -> None:
        """Wait until the caller has disconnected, or its body was refused."""
        await self._read.wait()
        if self.refusal is None:
            await disconnected(self._receive)

    async def _next(self) -> bytes:
        try:
            due = self._began + self._seconds + self._size / _SLOWEST
            async with asyncio.timeout_at(min(due, asyncio.get_running_loop().time() + self._silence)):
                message = await self._receive()
        except TimeoutError:
            raise Refusal(408, "the request body arrived too slowly") from None
        if message["type"] == "http.disconnect":
            raise CallerLeft
        data: bytes = message.get("body", b"")
        self._size += len(data)
        if self._size > self._limit:
            raise too_large(self._limit)
        if not message.get("more_body", False):
            self._read.set()
        return data


class RawAnswer:
    """The response to the caller. After it has begun, an error can only close the connection.

    Raises ConnectionError if the caller reads nothing for `patience` seconds, because it would occupy one of the
    session's connections.
    """

    def __init__(self, send: Send) -> None:
        self._server_send = send
        self._begun = False
        self.patience: float = _MOST_SILENCE
        self.ended: bool = False
        """Whether the whole response was passed to the server."""

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self._begun = True
        pairs = [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        self.ended = True

    async def _send(self, message: Message) -> None:
        try:
            async with asyncio.timeout(self.patience):
                await self._server_send(message)
        except TimeoutError:
            raise ConnectionError("the caller does not read the answer") from None

    async def refuse(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        """Send an error response with `reason` as its detail, unless a response has begun."""
        if self._begun:
            return
        body = json.dumps({"detail": reason}).encode()
        own = {"content-type": "application/json", "content-length": str(len(body))}
        await self.begin(status, {**own, **(headers or {})})
        await self.write(body)
        await self.end()
