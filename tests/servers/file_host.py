"""A file host on loopback that says, byte for byte, what a test wants, and hangs up where it is told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import attrs


@attrs.frozen
class Asked:
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""


@attrs.frozen
class Says:
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    """With the body's length, if they don't name another one. A None takes a header away."""
    status: int = 200
    only: int | None = None
    """The connection is closed after so many bytes of the body."""

    def head(self) -> bytes:
        headers = {"content-length": str(len(self.body)), **self.headers}
        lines = [
            f"HTTP/1.1 {self.status} X",
            *(f"{name}: {value}" for name, value in headers.items() if value),
        ]
        return "\r\n".join([*lines, "", ""]).encode()


class FileHost:
    """`answer(asked)` gives what is said; `asked` keeps all that was asked, in order."""

    def __init__(self, answer: Callable[[Asked], Says | Awaitable[Says]]) -> None:
        self._answer = answer
        self._serving: set[asyncio.Task[None]] = set()
        self.asked: list[Asked] = []
        self.url = ""

    @property
    def ranges(self) -> list[str | None]:
        return [asked.headers.get("range") for asked in self.asked]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        await asyncio.wait([task])
        self._serving.discard(task)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._serve_one(reader, writer):
                continue

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        asked = Asked(first.split(" ")[1], {name.lower(): value.strip() for name, _, value in pairs})
        self.asked.append(asked)
        says = self._answer(asked)
        if not isinstance(says, Says):
            says = await says
        writer.write(says.head() + says.body[: says.only])
        await writer.drain()
        return says.only is None

    async def hang_up(self) -> None:
        """Also on whoever still waits for an answer."""
        while serving := list(self._serving):
            for task in serving:
                task.cancel()
            await asyncio.wait(serving)
            await asyncio.sleep(0)


@asynccontextmanager
async def file_host(answer: Callable[[Asked], Says | Awaitable[Says]]) -> AsyncIterator[FileHost]:
    host = FileHost(answer)
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0)
    name, port = server.sockets[0].getsockname()[:2]
    host.url = f"http://{name}:{port}"
    try:
        yield host
    finally:
        server.close()
        await host.hang_up()
        await server.wait_closed()
