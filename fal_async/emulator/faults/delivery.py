"""From an answer to bytes on a connection, well or badly."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

from aiohttp import web

from fal_async.emulator.faults.fault import Fault
from fal_async.emulator.wire.answers import Answer

_LINGER_ZERO = struct.pack("ii", 1, 0)
"""SO_LINGER with zero seconds: closing then sends RST, and what was not sent yet is thrown away."""


def to_response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


async def deliver(request: web.BaseRequest, answer: Answer, fault: Fault) -> web.StreamResponse:
    """The whole answer, but slowly or not to its end."""
    if fault.kind == "stall" and fault.where == "headers":
        await asyncio.sleep(fault.seconds)
    if fault.kind == "drip":
        return await _drip(request, answer, fault.seconds)
    if fault.kind == "truncate":
        return await _truncate(request, answer)
    if fault.kind == "stall" and fault.where == "body":
        return await _pause_in_body(request, answer, fault.seconds)
    return to_response(answer)


async def _begin(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    return response


async def _drip(request: web.BaseRequest, answer: Answer, interval: float) -> web.StreamResponse:
    response = await _begin(request, answer)
    for at in range(len(answer.body)):
        await response.write(answer.body[at : at + 1])
        await asyncio.sleep(interval)
    return response


async def _truncate(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    response = await _begin(request, answer)
    await response.write(answer.body[: len(answer.body) // 2])
    hang_up(request)
    return response


async def _pause_in_body(request: web.BaseRequest, answer: Answer, seconds: float) -> web.StreamResponse:
    response = await _begin(request, answer)
    half = len(answer.body) // 2
    await response.write(answer.body[:half])
    await asyncio.sleep(seconds)
    await response.write(answer.body[half:])
    return response


def hang_up(request: web.BaseRequest) -> None:
    """Close in order: what was written still arrives."""
    if request.transport is not None:
        request.transport.close()


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Close with RST: the other side gets "connection reset by peer"."""
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    # uvloop's transports are none of asyncio's by `isinstance`, and have what those have.
    cast(asyncio.WriteTransport, transport).abort()


def no_answer() -> web.StreamResponse:
    """What a handler returns once the connection is gone: aiohttp finds that out and sends nothing."""
    return web.Response()
