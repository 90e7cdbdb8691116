"""A plain HTTP server on loopback that accepts webhook deliveries and sends the given answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
from aiohttp import web


@attrs.frozen
class Delivery:
    headers: dict[str, str]
    body: bytes


class Receiver:
    """`answers` are statuses, used in turn; the last one repeats. 0 sends no answer."""

    def __init__(self) -> None:
        self.url = ""
        self.answers = [200]
        self.deliveries: list[Delivery] = []
        self.closed = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.deliveries.append(Delivery(dict(request.headers), await request.read()))
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if status == 0:
            await self.closed.wait()
        return web.Response(status=status, headers={"Location": self.url} if 300 <= status < 400 else {})


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = web.Server(receiver.handle)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}/hook?secret=1"
    try:
        yield receiver
    finally:
        receiver.closed.set()
        await runner.cleanup()
