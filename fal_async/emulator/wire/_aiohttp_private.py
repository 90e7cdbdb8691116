"""Every private name of aiohttp that the emulator uses, in one place: a test fails by name when one changes."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.web_protocol import RequestHandler


def task_of(connection: RequestHandler) -> asyncio.Task[None] | None:
    """The task that serves this connection. aiohttp has no public way to wait for it."""
    return connection._task_handler


class HookedRequest(web.BaseRequest):
    """Calls `before_headers` with each response to it, just before the headers leave.

    aiohttp's public signal for that belongs to its router, which the emulator does not use.
    """

    def before_headers(self, response: web.StreamResponse) -> None:
        raise NotImplementedError

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        self.before_headers(response)
