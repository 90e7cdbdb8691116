"""Idle connections that are kept for reuse. One on which data arrived between two requests is not reused.

The next request would take the data for its response.
"""

from __future__ import annotations

import asyncio
import select
import weakref
from typing import Any

import aiohttp

from fal_async.protocol.http import PAID, HttpRequest
from fal_async.transport._aiohttp_private import has_begun_an_answer, idle_protocols

_STEPS_TO_NOTICE_PLAIN, _STEPS_TO_NOTICE = 2, 4
"""Steps of the event loop until aiohttp has noticed that the peer closed the connection: two, and four with TLS."""


class QuietConnector(aiohttp.TCPConnector):
    """Reuses a kept connection only if nothing has arrived on it since its last response.

    The peer may have closed it: if a paid request is sent on it, it is not known whether fal accepted the request.
    Or the peer may have sent a response without a request.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._given_out: weakref.WeakSet[Any] = weakref.WeakSet()

    async def connect(self, req: aiohttp.ClientRequest, traces: Any, timeout: Any) -> Any:
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol: Any = connection.protocol
            is_kept = protocol in self._given_out
            self._given_out.add(protocol)
            if not protocol.should_close and not (is_kept and _has_news(protocol)):
                return connection
            connection.close()
            if not is_kept:
                raise aiohttp.ClientConnectionError("the server sent data before any request")


def _has_news(protocol: Any) -> bool:
    """Return whether part of a response has arrived, or data that the event loop has not read yet."""
    if has_begun_an_answer(protocol):
        return True
    socket = None if protocol.transport is None else protocol.transport.get_extra_info("socket")
    number = -1 if socket is None else socket.fileno()
    if number < 0:
        return True  # closed
    if not hasattr(select, "poll"):  # Windows, where `select` accepts any number
        return bool(select.select([number], [], [], 0)[0])
    waiting = select.poll()
    waiting.register(number, select.POLLIN)
    return bool(waiting.poll(0))


async def close_noisy_ones(borrowed: aiohttp.ClientSession, request: HttpRequest) -> None:
    """Close the idle connections of a borrowed session on which data arrived, before `request` is sent."""
    if request.operation in PAID:
        # First let the event loop read the data. A request that is not paid is retried if its connection is broken.
        for _ in range(_STEPS_TO_NOTICE if request.url.startswith("https") else _STEPS_TO_NOTICE_PLAIN):
            await asyncio.sleep(0)
    for protocol in idle_protocols(borrowed.connector):
        if protocol.should_close or has_begun_an_answer(protocol):
            protocol.close()
