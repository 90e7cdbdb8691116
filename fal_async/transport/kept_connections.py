"""Kept connections: one on which anything arrived unasked is not used again, since it would be the next answer."""

from __future__ import annotations

import asyncio
import select
import weakref
from typing import Any

import aiohttp

from fal_async.protocol.http import PAID, HttpRequest
from fal_async.transport._aiohttp_private import has_begun_an_answer, idle_protocols

_STEPS_TO_NOTICE_PLAIN, _STEPS_TO_NOTICE = 2, 4
"""Steps of the event loop from a closed socket to a closed connection: two, and two more with TLS."""


class QuietConnector(aiohttp.TCPConnector):
    """Gives out a kept connection only where nothing has come on it since its last answer.

    That may be its end, in which a paid request would break without anybody knowing whether it was taken, or an
    answer that nobody asked for.
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
                raise aiohttp.ClientConnectionError("the server spoke before it was asked")


def _has_news(protocol: Any) -> bool:
    """Whether there is a part of an answer, or anything that the event loop has not read yet."""
    if has_begun_an_answer(protocol):
        return True
    socket = None if protocol.transport is None else protocol.transport.get_extra_info("socket")
    number = -1 if socket is None else socket.fileno()
    if number < 0:
        return True  # closed meanwhile
    if not hasattr(select, "poll"):  # Windows, where `select` takes any number
        return bool(select.select([number], [], [], 0)[0])
    waiting = select.poll()
    waiting.register(number, select.POLLIN)
    return bool(waiting.poll(0))


async def leave_quiet_ones(borrowed: aiohttp.ClientSession, request: HttpRequest) -> None:
    """The same for a borrowed session: close its idle connections on which anything came."""
    if request.operation in PAID:
        # What has arrived by now is read first: of the others, a broken one costs a further attempt.
        for _ in range(_STEPS_TO_NOTICE if request.url.startswith("https") else _STEPS_TO_NOTICE_PLAIN):
            await asyncio.sleep(0)
    for protocol in idle_protocols(borrowed.connector):
        if protocol.should_close or has_begun_an_answer(protocol):
            protocol.close()
