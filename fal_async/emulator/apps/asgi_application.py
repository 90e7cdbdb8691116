"""ASGI applications, which are called in this process without a port: HTTP requests and their tasks."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

from multidict import CIMultiDict

from fal_async.emulator.apps.asgi_lifespan import Lifespan
from fal_async.emulator.apps.asgi_outbox import Ended, Outbox
from fal_async.emulator.apps.asgi_websocket import AsgiChannel
from fal_async.emulator.apps.interface import BODILESS, Ask, end_to_end, incomplete

logger: logging.Logger = logging.getLogger("fal_async.emulator")

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]
_VERSIONS = {"version": "3.0", "spec_version": "2.3"}
"""In version 2.3 an application gets `http.disconnect` when its caller has left, and may still call `send`."""
_GRACE = 0.5
"""Seconds between the disconnect message and the cancellation of the application's call."""
_END_LIMIT = 5.0
"""Seconds within which cancelled calls must return when the emulator stops."""


def check_asgi(app: Any) -> None:
    """Raise TypeError unless `app` can be an ASGI 3 application."""
    wanted = (
        "expected an ASGI application `app(scope, receive, send)` or a base URL such as http://127.0.0.1:8000"
    )
    if inspect.isclass(app):
        raise TypeError(f"{app.__name__} is a class: {wanted}; did you mean an instance of it?")
    if not callable(app):
        raise TypeError(f"a value of type {type(app).__name__} is not an application: {wanted}")
    try:
        inspect.signature(app).bind(None, None, None)
    except ValueError:
        return  # written in C and without a signature, so nothing can be checked
    except TypeError as error:
        name = getattr(app, "__name__", type(app).__name__)
        raise TypeError(f"{name} does not take (scope, receive, send): {wanted}") from error


class AsgiApplication:
    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._lifespan = Lifespan(app)
        self._calls: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Run the startup of the application's lifespan, if it has one. Raise RuntimeError if that fails."""
        await self._lifespan.startup()

    async def close(self) -> None:
        """Cancel running calls, such as background work after an answer, then shut the application down."""
        for call in self._calls:
            call.cancel()
        if self._calls:
            _, left = await asyncio.wait(self._calls, timeout=_END_LIMIT)
            if left:
                logger.error("%d call(s) of a mounted application did not end when cancelled", len(left))
        await self._lifespan.shutdown()

    @asynccontextmanager
    async def ask(self, ask: Ask) -> AsyncIterator[AsgiResponse]:
        response = AsgiResponse(ask.body)
        scope = {"type": "http", "scheme": "http", "method": ask.method, **self._scope(ask)}
        call = self._begin(scope, response.receive, response.send, response.outbox)
        try:
            await response.begin()
            yield response
        finally:
            if not response.complete:
                response.leave()
                await _end(call)

    @asynccontextmanager
    async def connect(self, ask: Ask) -> AsyncIterator[AsgiChannel]:
        channel = AsgiChannel()
        scope = {
            "type": "websocket",
            "scheme": "ws",
            "subprotocols": ask.protocols,
            **self._scope(ask),
            "extensions": {"websocket.http.response": {}},
        }
        call = self._begin(scope, channel.app_receive, channel.app_send, channel.outbox)
        try:
            await channel.begin()
            yield channel
        finally:
            await channel.leave()
            await _end(call)

    def _scope(self, ask: Ask) -> dict[str, Any]:
        """Return the common part of scopes; each gets a copy of the lifespan's state, as the specification says."""
        host, _, port = ask.headers.get("Host", "").rpartition(":")
        return {
            "asgi": _VERSIONS,
            "http_version": "1.1",
            "path": unquote(ask.path),
            "raw_path": ask.path.encode(),
            "query_string": ask.query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), _encoded(text)) for name, text in ask.headers.items()],
            "client": ask.caller,
            "server": (host, int(port)) if port.isdecimal() else (host or port, 80),
            "state": dict(self._lifespan.state),
        }

    def _begin(self, scope: dict[str, Any], receive: Any, send: Any, outbox: Outbox) -> asyncio.Task[None]:
        async def run() -> None:
            await self._app(scope, receive, send)

        call = asyncio.get_running_loop().create_task(run())
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        call.add_done_callback(outbox.ended)
        return call


async def _end(call: asyncio.Task[None]) -> None:
    """Give a call that was notified of the disconnect some time to return, then cancel it."""
    try:
        await asyncio.wait({call}, timeout=_GRACE)
    finally:
        call.cancel()
    await asyncio.wait({call})


class AsgiResponse:
    """One HTTP exchange: the `receive` and `send` of the application, and the answer for the emulator."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._over = asyncio.Event()
        self.outbox: Outbox = Outbox()
        self.status: int = 0
        self.headers: CIMultiDict[str] = CIMultiDict()
        self.sized: bool = False
        self.complete: bool = False

    # The application's side.

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.outbox.send(message)

    # The emulator's side.

    async def begin(self) -> None:
        """Wait for status and headers. If the application raises an error before it sends them, raise that."""
        message = await self.outbox.next()
        if isinstance(message, Ended):
            if message.error is not None:
                raise message.error
            raise incomplete("The application ended without an answer")
        if message["type"] != "http.response.start":
            raise RuntimeError(f"the application began its answer with {message['type']!r}")
        self.status = message["status"]
        pairs = [
            (name.decode("latin-1"), text.decode("latin-1")) for name, text in message.get("headers", ())
        ]
        self.headers = end_to_end(CIMultiDict(pairs))
        self.sized = self.status in BODILESS or "Content-Length" in CIMultiDict(pairs)

    async def pieces(self) -> AsyncIterator[bytes]:
        while not self.complete:
            message = await self.outbox.next()
            if isinstance(message, Ended):
                raise incomplete("The application ended in the middle of its answer")
            if message["type"] != "http.response.body":
                continue
            if not message.get("more_body", False):
                self.complete = True
                self.leave()
            if body := message.get("body", b""):
                yield bytes(body)

    def leave(self) -> None:
        """End the exchange, even if it is incomplete; the application gets `http.disconnect`."""
        self._over.set()
        self.outbox.close()


def _encoded(text: str) -> bytes:
    # The inverse of how aiohttp decodes headers.
    return text.encode("utf-8", "surrogateescape")
