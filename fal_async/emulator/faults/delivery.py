"""From an answer, or a stream's pieces, to bytes on a connection, well or badly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from fal_async.emulator.faults.effect import Effect, Piece
from fal_async.emulator.wire.answers import Answer
from fal_async.emulator.wire.http_connection import break_off, hang_up, to_response


async def stall(effect: Effect) -> None:
    """The silence before the headers."""
    if effect.silence:
        await asyncio.sleep(effect.silence)


async def deliver(request: web.BaseRequest, answer: Answer, effect: Effect) -> web.StreamResponse:
    """The whole answer, but late, slowly or not to its end."""
    await stall(effect)
    spans = effect.in_body(len(answer.body))
    if spans is None:
        return to_response(answer)
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    at = 0
    for span in spans:
        await response.write(answer.body[at : at + span.length])
        at += span.length
        await asyncio.sleep(span.pause)
        if span.cut:
            hang_up(request)
    return response


async def send(
    pieces: Iterable[Piece], write: Callable[[bytes], Awaitable[None]], request: web.BaseRequest
) -> bool:
    """Write pieces of a stream. False: that was its end."""
    for piece in pieces:
        if piece.data:
            await write(piece.data)
        if piece.pause:
            await asyncio.sleep(piece.pause)
        if piece.end is not None:
            if piece.end != "in order":
                break_off(request, piece.end)
            return False
    return True
