"""Real servers on loopback: ASGI applications under uvicorn, and a plain HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from aiohttp import web

from fal_async import WebhookReceiver, WebhookVerificationError


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return host, port

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self.address)


@asynccontextmanager
async def serving(app: Any, *, grace: int = 5, websockets: bool = False) -> AsyncIterator[_Server]:
    """Serve `app`. Running requests get `grace` seconds when the server stops."""
    config = uvicorn.Config(
        app,
        port=0,
        log_level="error",
        ws="websockets-sansio" if websockets else "none",
        timeout_graceful_shutdown=grace,
        access_log=False,
    )
    server = _Server(config)
    # Not `serve`, which replaces the signal handlers of the process.
    running = asyncio.ensure_future(server._serve())
    up = asyncio.ensure_future(server.is_up.wait())
    try:
        async with asyncio.timeout(10):
            await asyncio.wait((running, up), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
            raise RuntimeError("the application did not start")
        yield server
    finally:
        up.cancel()
        server.should_exit = True
        async with asyncio.timeout(grace + 10):
            await running


@asynccontextmanager
async def listening(handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Yield the URL of a plain HTTP server."""
    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def receiver_app(receiver: WebhookReceiver) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    """Return a handler as an application writes it by hand, without a supported framework."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        try:
            body = await request.read()
            query = request.rel_url.raw_query_string
            receipt = await receiver.receive(request.headers, body, client=request.remote, query=query)
        except WebhookVerificationError:
            return web.Response(status=401)
        return web.Response(status=503 if receipt == "busy" else 200)

    return handle
