"""An HTTP proxy that tunnels each CONNECT to one port of this machine, whatever the requested host is."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs


@attrs.define
class ConnectProxy:
    """`refuses`: status and reason, such as "407 X", with which every CONNECT is refused; "" tunnels."""

    port: int
    refuses: str = ""
    url: str = ""
    asked: list[str] = attrs.field(factory=list)
    """The request line and the headers of each CONNECT, in lower case."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(writer.close)
            try:
                self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
                if self.refuses:
                    writer.write(f"HTTP/1.1 {self.refuses}\r\nContent-Length: 0\r\n\r\n".encode())
                    return
                to_server, from_server = await asyncio.open_connection("127.0.0.1", self.port)
                stack.callback(from_server.close)
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(_pipe(reader, from_server), _pipe(to_server, writer))
            except (ConnectionError, asyncio.IncompleteReadError):
                return


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def connect_proxy(
    port: int, refuses: str = "", tls: ssl.SSLContext | None = None
) -> AsyncIterator[ConnectProxy]:
    """Yield a proxy. `tls`: clients connect to it by https; None: by http."""
    proxy = ConnectProxy(port, refuses)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", ssl=tls) as server:
        host, taken = server.sockets[0].getsockname()[:2]
        proxy.url = f"http{'' if tls is None else 's'}://me:s3cret@{host}:{taken}"
        yield proxy
