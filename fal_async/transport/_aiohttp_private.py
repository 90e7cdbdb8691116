"""The private names of aiohttp that the transport reads: a test fails by name where aiohttp renames one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp


def loop_of(session: aiohttp.ClientSession) -> asyncio.AbstractEventLoop:
    """The event loop a session belongs to: its own property for it is deprecated."""
    return session._loop


def was_redirected(socket: aiohttp.ClientWebSocketResponse) -> bool:
    """Whether the handshake was redirected: aiohttp can't be told not to follow, and says so nowhere else."""
    return bool(socket._response.history)


def idle_protocols(connector: aiohttp.BaseConnector | None) -> Iterator[Any]:
    """The other ends of all connections that a connector keeps for later."""
    for kept in () if connector is None else tuple(connector._conns.values()):
        for protocol, _ in kept:
            yield protocol


def has_begun_an_answer(protocol: Any) -> bool:
    """Whether a part of an answer has come on an idle connection. Its parser is of no use any more after this."""
    return protocol._parser is not None and protocol._parser.feed_eof() is not None
