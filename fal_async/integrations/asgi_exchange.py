"""The two halves of one ASGI exchange, as the proxy needs them: a body as it comes, an answer as it goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from fal_async.integrations.disconnect import disconnected
from fal_async.protocol.proxy.headers import too_large
from fal_async.protocol.proxy.rules import Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class RequestBody:
    """The request's body, read as it is asked for; then the watch for the caller's leaving."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit = receive, limit
        self._read = asyncio.Event()
        self.refusal: Refusal | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        size, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._read.set()
                raise ConnectionError("the caller left")
            size += len(message.get("body", b""))
            if size > self._limit:
                self.refusal = too_large(self._limit)
                self._read.set()
                raise ConnectionError("the body is too large")
            more = message.get("more_body", False)
            if message.get("body"):
                yield message["body"]
        self._read.set()

    async def whole(self, limit: int) -> bytes:
        """Refusal where it is larger than `limit`, too."""
        body = b""
        async for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                raise too_large(limit)
        return body

    async def gone(self) -> None:
        """Until the caller has left, or must not go on."""
        await self._read.wait()
        if self.refusal is None:
            await disconnected(self._receive)


class RawAnswer:
    """What goes back. Once it has begun, nothing else can be said: the connection is then cut off."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self._begun = True
        pairs = [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        if self._begun:
            return
        body = json.dumps({"detail": reason}).encode()
        told = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        await self.begin(status, told)
        await self.write(body)
        await self.end()
