"""Sends an answer, or the pieces of a stream, changed by the fault of the call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from fal_async.emulator.faults.effect import Effect, Piece
from fal_async.emulator.wire.answers import Answer
from fal_async.emulator.wire.http_connection import break_off, hang_up, to_response


async def stall(effect: Effect) -> None:
    """Wait before the headers if the fault says so."""
    if effect.silence:
        await asyncio.sleep(effect.silence)


async def deliver(request: web.BaseRequest, answer: Answer, effect: Effect) -> web.StreamResponse:
    """Send an answer; a fault may make it late, slow or incomplete."""
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
    """Write pieces of a stream. Return False if the stream has ended."""
    for piece in pieces:
        if piece.data:
            await write(piece.data)
        if piece.pause:
            await asyncio.sleep(piece.pause)
        if piece.end is not None:
            if piece.end != "normal":
                break_off(request, piece.end)
            return False
    return True
