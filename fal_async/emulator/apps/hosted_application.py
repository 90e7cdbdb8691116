"""ASGI applications of this process, which uvicorn serves on a loopback port, in the emulator's event loop.

uvicorn does HTTP, WebSockets and the lifespan. This file adds what a server of one application doesn't have:

- A call ends when the emulator leaves it. uvicorn lets a handler run on after its caller has disconnected, so that
  more calls would run than the application has runners.
- A call needs the secret that the emulator made for it, because other users of the machine can reach the port.
- The reason of a failed startup is kept, which uvicorn only logs.
- What a handler prints is logged by its request (`printed_lines.py`).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import attrs

from fal_async.emulator.apps.application import Application, Channel, Response
from fal_async.emulator.apps.mounted_request import Ask, Rejected
from fal_async.emulator.apps.printed_lines import keep_lines_of_this_task
from fal_async.emulator.wire.answers import request_error

if TYPE_CHECKING:
    import uvicorn

logger: logging.Logger = logging.getLogger("fal_async.emulator")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
_SECRET = "x-fal-emulator-secret"
_GRACE = 0.5
"""Seconds between the disconnect message and the cancellation of the application's call."""
_END_LIMIT = 5.0
"""Seconds within which cancelled calls must return when the emulator stops."""
_SHUTDOWN_LIMIT = 10.0
"""Seconds that an application has to shut down before it is cancelled."""
_STEPS_TO_DISCONNECT = 5
"""Steps of the event loop until uvicorn knows that a connection was aborted."""
_FOREVER = 1 << 31
"""Seconds for which uvicorn keeps an idle connection, and bytes of a WebSocket's message: the emulator decides."""
_NO_WEBSOCKETS = (
    "WebSockets of a mounted ASGI application need the package 'websockets': "
    "pip install 'fal-async[emulator]'"
)


def check_asgi(app: Any) -> None:
    """Raise TypeError unless `app` can be an ASGI 3 application, and ModuleNotFoundError without uvicorn."""
    wanted = (
        "expected an ASGI application `app(scope, receive, send)` or a base URL such as http://127.0.0.1:8000"
    )
    if inspect.isclass(app):
        raise TypeError(f"{app.__name__} is a class: {wanted}; did you mean an instance of it?")
    if not callable(app):
        raise TypeError(f"a value of type {type(app).__name__} is not an application: {wanted}")
    if not _takes(app, 3):
        name = getattr(app, "__name__", type(app).__name__)
        advice = ", and as a WSGI application must be wrapped: a2wsgi.WSGIMiddleware(app)"
        why = f"does not take (scope, receive, send){advice if _takes(app, 2) else ''}"
        raise TypeError(f"{name} {why}: {wanted}")
    if find_spec("uvicorn") is None:
        raise ModuleNotFoundError(
            "an ASGI application is mounted with uvicorn: pip install 'fal-async[emulator]'; or start the "
            "application on its own and mount its base URL",
            name="uvicorn",
        )


def _takes(app: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(app).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:
        return True  # written in C and without a signature, so nothing can be checked
    return True


class StartError(RuntimeError):
    """A mounted application failed to start."""


class HostedApplication(Application):
    """An ASGI application, and the server through which the emulator calls it."""

    def __init__(self, app: AsgiApp) -> None:
        super().__init__("")
        self._app = app
        self._server: uvicorn.Server | None = None
        self._lifespan: asyncio.Task[None] | None = None
        self._reason = ""
        self._expected: dict[str, _Call] = {}
        self._running: set[_Call] = set()

    async def open(self) -> None:
        """Run the application's startup, and listen. If this is cancelled, the application is cancelled.

        Raises:
            StartError: If the startup fails, with the application's message.
        """
        server = _server(self._enter)
        # With the number of TCP, without which asyncio leaves TCP_NODELAY off: each answer would take 40 ms.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.bind(("127.0.0.1", 0))
        self._url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            # Newer versions of uvicorn end the process if the application fails to start; older ones return.
            with suppress(SystemExit):
                await server.startup([listening])
        finally:
            if not server.started:
                listening.close()
                await self._end_lifespan()
        if not server.started:
            raise StartError(f"the mounted application failed to start: {self._reason}")
        self._server = server
        await super().open()

    async def close(self) -> None:
        """Cancel running calls, such as background work after an answer, then shut the application down.

        Raises nothing: failures are logged, since the emulator stops in any case.
        """
        await super().close()
        server, self._server = self._server, None
        if server is None:
            return
        # Not `server.shutdown()`, which sleeps for a tenth of a second and has no time limit.
        for listening in server.servers:
            listening.close()
        await _disconnect(server)
        await asyncio.gather(*(call.end(grace=0, limit=_END_LIMIT) for call in self._running))
        try:
            async with asyncio.timeout(_SHUTDOWN_LIMIT):
                await server.lifespan.shutdown()
        except TimeoutError:
            logger.error("a mounted application did not shut down within %g s", _SHUTDOWN_LIMIT)
        finally:
            await self._end_lifespan()

    @asynccontextmanager
    async def ask(self, ask: Ask) -> AsyncIterator[Response]:
        async with self._call(ask) as call, super().ask(call.ask) as response:
            yield response
            call.answered = response.complete

    @asynccontextmanager
    async def connect(self, ask: Ask) -> AsyncIterator[Channel]:
        if find_spec("websockets") is None:
            logger.error(_NO_WEBSOCKETS)
            raise Rejected(request_error(501, _NO_WEBSOCKETS))
        async with self._call(ask) as call, super().connect(call.ask) as channel:
            yield channel

    @asynccontextmanager
    async def _call(self, ask: Ask) -> AsyncIterator[_Call]:
        """Expect a call with a new secret in its headers, and end it unless it is answered."""
        secret = secrets.token_hex(16)
        headers = ask.headers.copy()
        headers[_SECRET] = secret
        call = self._expected[secret] = _Call(attrs.evolve(ask, headers=headers))
        try:
            yield call
        finally:
            self._expected.pop(secret, None)
            if not call.answered:
                await call.end(grace=_GRACE)

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let only calls of the emulator through to the application; uvicorn calls this."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif (call := self._expected.pop(_secret_of(scope), None)) is not None:
            await self._handle(call, scope, receive, send)
        else:
            answer = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
            await send({"type": f"{answer}.start", "status": 403, "headers": []})
            await send({"type": f"{answer}.body", "body": b"Only the emulator may call this port\n"})

    async def _handle(self, call: _Call, scope: Scope, receive: Receive, send: Send) -> None:
        own = {_SECRET.encode()} | ({b"host"} if "Host" in call.ask.headers else set())
        headers = [(name, text) for name, text in scope["headers"] if name not in own]
        # The caller's host, since the address of this port must not appear in redirects.
        headers += [(b"host", host.encode()) for host in call.ask.headers.getall("Host", ())]
        scope = {**scope, "headers": headers}
        if "subprotocols" in scope:  # older versions of uvicorn do not split the list
            scope["subprotocols"] = call.ask.protocols
        keep_lines_of_this_task(call.ask.log)
        # A task of its own, because uvicorn logs the cancellation of its task as an error.
        call.task = asyncio.ensure_future(_awaited(self._app(scope, receive, send)))
        self._running.add(call)
        try:
            await call.task
        except asyncio.CancelledError:
            if not call.left:
                raise
        finally:
            self._running.discard(call)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def passed_on(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "lifespan.startup.failed":
                self._reason = message.get("message", "").strip().rpartition("\n")[2] or "it gave no reason"
            await send(message)

        self._lifespan = asyncio.current_task()
        await self._app(scope, receive, passed_on)

    async def _end_lifespan(self) -> None:
        """Cancel the lifespan's call unless it has returned."""
        if self._lifespan is not None:
            self._lifespan.cancel()
            await asyncio.wait({self._lifespan}, timeout=_END_LIMIT)
            self._lifespan = None


@attrs.define(eq=False)
class _Call:
    """One call of the application; `task` is None until it has arrived there."""

    ask: Ask
    task: asyncio.Task[None] | None = None
    answered: bool = False
    left: bool = False

    async def end(self, *, grace: float, limit: float | None = None) -> None:
        """Give a call whose connection is closed `grace` seconds to return, then cancel it."""
        self.left = True
        if self.task is None:
            return
        try:
            await asyncio.wait({self.task}, timeout=grace)
        finally:
            self.task.cancel()
        _, running = await asyncio.wait({self.task}, timeout=limit)
        if running:
            logger.error("a call of a mounted application did not end when it was cancelled")


def _server(app: AsgiApp) -> uvicorn.Server:
    """Return a server that leaves signals, logging and the process to the user of the emulator."""
    import uvicorn

    config = uvicorn.Config(
        app,
        interface="asgi3",
        # Not "auto", so that it does not depend on what else is installed.
        http="h11",
        ws="none" if find_spec("websockets") is None else "websockets-sansio",
        ws_max_size=_FOREVER,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        timeout_keep_alive=_FOREVER,
        log_config=None,  # and not `access_log=False`, which would take the handlers of the process's own logger
        proxy_headers=False,
        workers=1,
    )
    config.load()
    server = uvicorn.Server(config)
    # As `server.serve` does, which would also install handlers of signals, and look ten times a second for one.
    server.lifespan = config.lifespan_class(config)
    return server


async def _disconnect(server: uvicorn.Server) -> None:
    """Abort the connections, whose other ends are already closed, and let the server notice."""
    for connection in server.server_state.connections:
        connection.transport.abort()
    # uvicorn has no event for it. One step is enough, unless the connection is being accepted.
    for _ in range(_STEPS_TO_DISCONNECT):
        await asyncio.sleep(0)


async def _awaited(call: Awaitable[None]) -> None:
    await call


def _secret_of(scope: Scope) -> str:
    return next((text.decode("latin-1") for name, text in scope["headers"] if name == _SECRET.encode()), "")
