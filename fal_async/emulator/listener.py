"""The loopback socket, which can pause and resume on the same port, and counts connections."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from fal_async.emulator.wire._aiohttp_private import task_of
from fal_async.emulator.wire.cors import make_request
from fal_async.emulator.wire.http_connection import reset

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_BACKLOG = 8192
"""Enough for ten thousand clients that connect at once; the kernel lowers it to its own limit."""
_KEEP_ALIVE = 300.0
"""Seconds: app servers keep idle connections for 300 s (protocol 13)."""
_STEPS_TO_ACCEPT = 3
"""Steps of the event loop until `connection_made` is called for a socket that was just accepted."""
_HANDSHAKE_LIMIT = 2.0
"""Seconds that a TLS handshake or shutdown may take."""


class _Server(web.Server):
    """aiohttp's low-level server, which has no router, and a list of its connections."""

    def __init__(self, handler: Handler, **options: Any) -> None:
        super().__init__(handler, **options)
        self.opened = 0
        self.away = False
        """Whether the server is paused: a connection whose TLS handshake completes now is reset at once."""
        self.transports: dict[RequestHandler, asyncio.Transport] = {}
        self.ending: set[asyncio.Task[None]] = set()
        self.empty = asyncio.Event()

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        self.opened += 1
        self.transports[handler] = transport
        self.empty.clear()
        super().connection_made(handler, transport)
        if self.away:
            reset(transport)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        # aiohttp deletes its reference to the connection's task right after this call. `_drop_all` must wait for
        # the task, or its last step would run on a closed loop.
        if (task := task_of(handler)) is not None and not task.done():
            self.ending.add(task)
            task.add_done_callback(self.ending.discard)
        self.transports.pop(handler, None)
        if not self.transports:
            self.empty.set()
        super().connection_lost(handler, exc)


class Listener:
    """The socket. `port` 0 chooses a free port, another one each time it is opened."""

    def __init__(self, *, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._host, self._wanted_port, self._tls = host, port, tls
        self._port = port
        self._socket: socket.socket | None = None
        self._listening: asyncio.Server | None = None
        self._server: _Server | None = None
        self._changing = asyncio.Lock()
        """Held while the socket is opened or closed: each of them takes several steps of the event loop."""

    @property
    def is_open(self) -> bool:
        return self._server is not None

    @property
    def url(self) -> str:
        self._running()
        scheme = "http" if self._tls is None else "https"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}"

    @property
    def opened(self) -> int:
        return 0 if self._server is None else self._server.opened

    @property
    def open_now(self) -> int:
        return 0 if self._server is None else len(self._server.transports)

    async def open(self, handler: Handler) -> None:
        """Listen. Raise OSError if the port is in use."""
        # handler_cancellation, because closing the connection stops a direct call (protocol 13).
        self._server = _Server(
            handler,
            request_factory=make_request,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=_KEEP_ALIVE,
        )
        self._port = self._wanted_port
        self._changing = asyncio.Lock()  # belongs to the event loop of this start
        try:
            self._reserve()
            await self._listen()
        except BaseException:
            await self.close()
            raise

    async def pause(self) -> None:
        """Reset connections and refuse new ones. The port stays bound, so that no other process takes it."""
        self._running()
        async with self._changing:
            await self._stop_listening(keep_port=True)

    async def _stop_listening(self, *, keep_port: bool) -> None:
        if self._listening is None:
            return
        listening, self._listening = self._listening, None
        try:
            await self._stop_accepting()
        finally:
            self._end_backlog()
            listening.close()
            self._socket = None
            if keep_port:
                self._reserve()
        await self._drop_all()
        await listening.wait_closed()

    async def resume(self) -> None:
        """Listen again, on the same port."""
        async with self._changing:
            self._running()
            if self._listening is None:
                await self._listen()

    async def close(self) -> None:
        """Close the socket and all connections. Closing twice is allowed."""
        async with self._changing:
            if self._server is None:
                return
            # Without the port: a forked process may still have the socket, so that the port can't be bound again.
            await self._stop_listening(keep_port=False)
            # Called again here, since a call that was cancelled may have left connections open.
            await self._drop_all()
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            self._server = None

    def check_open(self) -> None:
        """Raise RuntimeError if the emulator is not started."""
        self._running()

    def _running(self) -> _Server:
        if self._server is None:
            raise RuntimeError("the emulator is not started: use `async with Emulator() as emulator:`")
        return self._server

    def _reserve(self) -> None:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        reserved = socket.socket(family, socket.SOCK_STREAM)
        try:
            if os.name == "posix":
                reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.bind((self._host, self._port))
        except OSError:
            reserved.close()
            raise
        reserved.setblocking(False)
        self._socket, self._port = reserved, reserved.getsockname()[1]

    async def _listen(self) -> None:
        if self._socket is None:
            raise RuntimeError("the port of the emulator is not reserved")
        server = self._running()
        server.away = False
        # Without this limit, a client that connects and sends nothing would delay `pause` for a minute.
        limit = None if self._tls is None else _HANDSHAKE_LIMIT
        self._listening = await asyncio.get_running_loop().create_server(
            server,
            sock=self._socket,
            backlog=_BACKLOG,
            ssl=self._tls,
            ssl_handshake_timeout=limit,
            ssl_shutdown_timeout=limit,
            start_serving=False,
        )
        # A separate step: if it is cancelled, the server is already stored, and `close` closes it.
        await self._listening.start_serving()

    def drop_connections(self) -> None:
        """Reset all open connections; new ones are accepted."""
        for transport in tuple(self._running().transports.values()):
            reset(transport)

    async def _stop_accepting(self) -> None:
        """Accept no more connections, and complete those that are being accepted.

        asyncio would lose a connection that it accepts in the step in which its server is closed.
        """
        if self._socket is not None:
            with contextlib.suppress(NotImplementedError):  # Windows has no readers
                asyncio.get_running_loop().remove_reader(self._socket)
        for _ in range(_STEPS_TO_ACCEPT):
            await asyncio.sleep(0)

    def _end_backlog(self) -> None:
        """Reset the connections that nobody will accept, also while a forked process has the socket, too."""
        if self._socket is not None:
            with contextlib.suppress(OSError):  # only Linux shuts down a socket that listens
                self._socket.shutdown(socket.SHUT_RDWR)

    async def _drop_all(self) -> None:
        server = self._running()
        server.away = True
        for _ in range(_STEPS_TO_ACCEPT):
            await asyncio.sleep(0)
        self.drop_connections()
        if server.transports:
            await server.empty.wait()
        if server.ending:
            await asyncio.wait(server.ending)
