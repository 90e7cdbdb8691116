"""A relay between a client and PostgreSQL, which breaks connections at a chosen moment or looks like a pooler."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

_BACKEND_KEY = b"K\0\0\0\x0c"
"""The beginning of the message that tells a client the number of its server process."""


class Relay:
    """Passes on the bytes of all connections.

    Attributes:
        url: the URL of the database through the relay.
        is_pooler: whether clients are told a wrong number of their server process, as poolers do.
        swallows: if set, the next answer that contains these bytes is not passed on, and its connection is closed;
            None after that.
    """

    def __init__(self, database: str) -> None:
        parts = urlsplit(database)
        self._socket = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
        self._path, self._user = parts.path, parts.username
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.url: str = ""
        self.is_pooler: bool = False
        self.swallows: bytes | None = None

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = f"postgresql://{self._user}:secret@127.0.0.1:{port}{self._path}?sslmode=disable"
        return server

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(self._socket)
        self._writers |= {writer, up_writer}
        down = asyncio.ensure_future(self._down(up_reader, writer))
        up = asyncio.ensure_future(self._up(reader, up_writer))
        self._tasks |= {down, up}
        await asyncio.wait([down, up], return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, up_writer):
            end.close()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if self.swallows is not None and self.swallows in data:
                    self.swallows = None
                    return
                at = data.find(_BACKEND_KEY)
                if self.is_pooler and at >= 0:
                    start = at + len(_BACKEND_KEY)
                    data = data[:start] + b"\x7f\xff\xff\xff" + data[start + 4 :]
                writer.write(data)
                await writer.drain()

    def cut(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def aclose(self) -> None:
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)


@contextlib.asynccontextmanager
async def relay(database: str) -> AsyncIterator[Relay]:
    """Yield a relay to a database, whose URL is that of the fixture `database`."""
    made = Relay(database)
    async with await made.start():
        try:
            yield made
        finally:
            await made.aclose()
