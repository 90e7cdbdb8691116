"""The connection of one HTTP request: how its answer is sent, and how the connection is closed."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

from aiohttp import web

from fal_async.emulator.wire.answers import Answer

_LINGER_ZERO = struct.pack("ii", 1, 0)
"""SO_LINGER with zero seconds: closing sends RST, and discards bytes that were not sent yet."""


def to_response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


def hang_up(request: web.BaseRequest) -> None:
    """Close the connection normally, so that bytes that were already written still arrive."""
    if request.transport is not None:
        request.transport.close()


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Close the connection with RST, so that the client gets "connection reset by peer"."""
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    # uvloop's transports fail `isinstance` checks with asyncio's classes, but have the same methods.
    cast(asyncio.WriteTransport, transport).abort()


def break_off(request: web.BaseRequest, how: str) -> None:
    """Reset or close the connection. `how`: "reset" or "close"."""
    if how == "reset":
        reset(request.transport)
    else:
        hang_up(request)


def no_answer() -> web.StreamResponse:
    """Return the response for a connection that is already closed; aiohttp does not send it."""
    return web.Response()
