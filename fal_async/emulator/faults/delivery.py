"""From an answer to bytes on a connection, well or badly."""

from __future__ import annotations

import asyncio

from aiohttp import web

from fal_async.emulator.faults.fault import Fault
from fal_async.emulator.wire.answers import Answer
from fal_async.emulator.wire.connection import hang_up, to_response


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
