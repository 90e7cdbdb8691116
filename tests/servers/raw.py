"""An HTTP server that sends exactly the given bytes, for answers that no regular server sends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs


@attrs.define
class Asked:
    """One request. `connection` is the number of its connection, from 0."""

    method: str
    path: str
    head: str
    body: bytes
    connection: int
    writer: asyncio.StreamWriter

    @property
    def headers(self) -> dict[str, str]:
        """The headers, with names in lower case."""
        pairs = (line.partition(":") for line in self.head.rstrip().split("\r\n")[1:])
        return {name.lower(): value.strip() for name, _, value in pairs}


Answering = Callable[[Asked], bytes | Awaitable[bytes]]
"""A ConnectionError closes the connection."""


def answer(body: bytes | Any, status: int = 200, /, **headers: str) -> bytes:
    """Return a complete answer. A body other than bytes becomes JSON; `headers` have underscores for hyphens."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return (
        head(status, {"content-type": "application/json", "content-length": str(len(sent)), **named}) + sent
    )


def head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


@asynccontextmanager
async def raw_server(answering: Answering, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Yield the server's URL. Connections stay open until the client or the test ends them."""
    tasks: set[asyncio.Task[Any]] = set()
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        number, connections = connections, connections + 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    told = answering(await _asked(reader, writer, number))
                    writer.write(told if isinstance(told, bytes) else await told)
                    await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", ssl=tls) as server:
        host, port = server.sockets[0].getsockname()[:2]
        try:
            yield f"http{'' if tls is None else 's'}://{host}:{port}"
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> Asked:
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    method, path, _ = text.split(" ", 2)
    length = re.search(r"(?i)content-length: (\d+)", text)
    body = await reader.readexactly(int(length[1])) if length else b""
    return Asked(method, path, text, body, number, writer)
