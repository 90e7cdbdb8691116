"""The part of fal that one request with a body needs, on a server that reads the body at a given pace."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fal_async import Hosts

PIECE = 64 * 1024
SMALL = 1_000
"""Bytes: a smaller body, such as a token request, is read at once."""


class Reader:
    """`pace` is awaited before each piece of a large body."""

    def __init__(self, pace: Callable[[], Awaitable[object]]) -> None:
        self.pace = pace
        self.bodies: list[bytes] = []
        """Large bodies that were read completely."""
        self.begun = 0
        self.hosts = Hosts()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode().lower():
                size = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
                body = await self._body(reader, size)
                answer = json.dumps(self._answer(head.split(" ")[1], body)).encode()
                lines = ["HTTP/1.1 200 OK", "content-type: application/json", 'etag: "e"']
                writer.write(
                    "\r\n".join([*lines, f"content-length: {len(answer)}", "", ""]).encode() + answer
                )
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    async def _body(self, reader: asyncio.StreamReader, size: int) -> bytes:
        if size < SMALL:
            return await reader.readexactly(size)
        self.begun += 1
        body = b""
        while len(body) < size:
            await self.pace()
            body += await reader.readexactly(min(PIECE, size - len(body)))
        self.bodies.append(body)
        return body

    def _answer(self, path: str, body: bytes) -> dict[str, Any]:
        home = self.hosts.cdn
        if "/storage/auth/token" in path:
            return {"token": "t", "base_url": home, "expires_at": "2099-01-01T00:00:00Z"}
        if "/storage/upload/" in path:
            return {"file_url": f"{home}/files/a", "upload_url": f"{home}/put/a"}
        if path.endswith("/files/upload/multipart"):
            return {"access_url": f"{home}/files/a", "uploadId": "u"}
        return {"access_url": f"{home}/files/a", "request_id": "id-1", "size": len(body)}


@asynccontextmanager
async def reading(
    pace: Callable[[], Awaitable[object]], *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Reader]:
    """Yield a `Reader` with small buffers for unread bytes."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE // 2)
    listening.bind(("127.0.0.1", 0))
    reader = Reader(pace)
    reader.hosts = Hosts.local(f"http{'s' if tls else ''}://127.0.0.1:{listening.getsockname()[1]}")
    connections: set[asyncio.Task[None]] = set()

    async def serve(*streams: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        await reader.serve(*streams)

    server = await asyncio.start_server(serve, sock=listening, limit=PIECE // 2, ssl=tls)
    try:
        yield reader
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
