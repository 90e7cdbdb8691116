"""The connection of one request: its answer, and how it ends."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

from aiohttp import web

from fal_async.emulator.wire.answers import Answer

_LINGER_ZERO = struct.pack("ii", 1, 0)
"""SO_LINGER with zero seconds: closing sends RST, and drops what was not sent yet."""


def to_response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


def hang_up(request: web.BaseRequest) -> None:
    """Close in order: bytes that were written still arrive."""
    if request.transport is not None:
        request.transport.close()


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Close with RST: the other side gets "connection reset by peer"."""
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    # uvloop's transports fail `isinstance` checks with asyncio's classes, but have the same methods.
    cast(asyncio.WriteTransport, transport).abort()


def break_off(request: web.BaseRequest, how: str) -> None:
    """`how`: "reset" or "close"."""
    if how == "reset":
        reset(request.transport)
    else:
        hang_up(request)


def no_answer() -> web.StreamResponse:
    """Return the response for a closed connection: aiohttp notices that and sends nothing."""
    return web.Response()
