"""An HTTP proxy on this machine that leads fal's names to the emulator, for programs that read `HTTPS_PROXY`."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from types import TracebackType
from urllib.parse import SplitResult, unquote, urlsplit

from fal_async.emulator.wire.routing import is_fals

_LIMIT = 30.0
"""Seconds for the head of a request, and for a connection to another host."""
_PIECE = 65536
_DONE = b"HTTP/1.1 200 Connection established\r\n\r\n"
_ONLY_TUNNELS = b"HTTP/1.1 405 Method Not Allowed\r\nAllow: CONNECT\r\nContent-Length: 0\r\n\r\n"
_NOT_REACHED = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Tunnel:
    """Tunnels connections: those to fal's names to the emulator, all others to the host that they name.

    Args:
        port: port of the emulator, which serves https.
        upstream: the proxy that connections to other hosts go through. None: they are direct.

    Raises:
        ValueError: If `upstream` is not the URL of an HTTP proxy.
    """

    def __init__(self, port: int, upstream: str | None) -> None:
        self._port = port
        self._upstream = None if not upstream else urlsplit(upstream if "//" in upstream else f"//{upstream}")
        if self._upstream is not None and self._upstream.scheme not in ("", "http"):
            raise ValueError(
                f"--proxy: connections to other hosts can't go through a proxy with the scheme "
                f"{self._upstream.scheme}, which HTTPS_PROXY names: expected http"
            )
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> str:
        """Listen on a free port of this machine, and return the URL of the proxy."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close the port and all tunnels."""
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError, TimeoutError):
            async with contextlib.AsyncExitStack() as stack:
                stack.callback(writer.close)
                async with asyncio.timeout(_LIMIT):
                    head = await reader.readuntil(b"\r\n\r\n")
                    there = await self._connected(head, writer)
                if there is not None:
                    stack.callback(there[1].close)
                    await _relay((reader, writer), there)

    async def _connected(self, head: bytes, writer: asyncio.StreamWriter) -> Streams | None:
        """Connect, and answer the request; None if it is refused."""
        method, _, rest = head.decode("latin-1").partition(" ")
        host, _, port = rest.partition(" ")[0].rpartition(":")
        if method != "CONNECT" or not host or not port.isdecimal():
            writer.write(_ONLY_TUNNELS)
            return None
        fals = is_fals(host.rstrip(".").lower())
        try:
            if self._upstream is not None and not fals:
                return await _through(self._upstream, head)
            place = ("127.0.0.1", self._port) if fals else (host.strip("[]"), int(port))
            there = await asyncio.open_connection(*place)
        except OSError:
            writer.write(_NOT_REACHED)
            return None
        writer.write(_DONE)
        return there


async def _through(upstream: SplitResult, head: bytes) -> Streams:
    """Connect to a proxy, and pass the request on to it, which answers it."""
    there = await asyncio.open_connection(upstream.hostname, upstream.port or 80)
    if upstream.username is not None:
        user = f"{unquote(upstream.username)}:{unquote(upstream.password or '')}"
        header = b"Proxy-Authorization: Basic " + base64.b64encode(user.encode()) + b"\r\n\r\n"
        head = head.removesuffix(b"\r\n") + header
    there[1].write(head)
    return there


async def _relay(here: Streams, there: Streams) -> None:
    async with asyncio.TaskGroup() as both:
        both.create_task(_copy(here[0], there[1]))
        both.create_task(_copy(there[0], here[1]))


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copy until the source ends, then end the target as well; the other direction goes on."""
    with contextlib.suppress(OSError):
        while piece := await source.read(_PIECE):
            target.write(piece)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
