"""The private names of aiohttp that the emulator uses. A test fails by name if aiohttp renames one of them."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.web_protocol import RequestHandler


def task_of(connection: RequestHandler) -> asyncio.Task[None] | None:
    """Return the task that serves this connection. aiohttp has no public way to wait for it."""
    return connection._task_handler


class HookedRequest(web.BaseRequest):
    """A request that calls `before_headers` with each response, just before the headers are sent.

    aiohttp's public signal for this belongs to its router, which the emulator does not use.
    """

    def before_headers(self, response: web.StreamResponse) -> None:
        raise NotImplementedError

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        self.before_headers(response)
