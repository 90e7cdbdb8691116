"""The private names of aiohttp that the transport reads: a test fails by name where aiohttp renames one."""

from __future__ import annotations

import asyncio

import aiohttp


def loop_of(session: aiohttp.ClientSession) -> asyncio.AbstractEventLoop:
    """The event loop a session belongs to: its own property for it is deprecated."""
    return session._loop


def was_redirected(socket: aiohttp.ClientWebSocketResponse) -> bool:
    """Whether the handshake was redirected: aiohttp can't be told not to follow, and says so nowhere else."""
    return bool(socket._response.history)
