"""HTTP over WebSocket, `wss://ws.fal.run/{id}`: several requests on one connection (protocol 5.2)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Protocol

import attrs
from aiohttp import WSMsgType, web

from fal_async.emulator.core import Call, Core, Reply
from fal_async.emulator.faults.delivery import stall
from fal_async.emulator.jobs.endpoints import Endpoint
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.jobs.options import BadOption, CallOptions, parse_options
from fal_async.emulator.operations.stream import Sink, perform
from fal_async.emulator.operations.submit import open_job, performed
from fal_async.emulator.wire.answers import Answer, bad_json, request_error
from fal_async.emulator.wire.http_connection import break_off


class Payloads(Protocol):
    """Processes the payloads of a connection, one after the other."""

    def open_job(self, options: CallOptions) -> Job: ...
    async def answer(self, payload: str | bytes, job: Job, sink: Sink) -> Answer:
        """Process a payload. The returned answer is sent only if `sink` got nothing."""


async def websocket(core: Core, call: Call) -> Reply:
    if core.recordings is not None and (refused := core.recordings.session(call)) is not None:
        return refused
    endpoint = core.endpoints.find_used(call.route.rest, call.route.endpoint_id)
    if endpoint is None or (call.route.rest != call.route.endpoint_id and not endpoint.streams):
        return core.endpoints.missing(call.route.rest)
    return await serve(call, _EndpointPayloads(core, call, endpoint))


@attrs.frozen
class _EndpointPayloads:
    core: Core
    call: Call
    endpoint: Endpoint

    def open_job(self, options: CallOptions) -> Job:
        return open_job(self.core, self.call, self.endpoint, options, None, via="websocket")

    async def answer(self, _: str | bytes, job: Job, sink: Sink) -> Answer:
        if self.endpoint.streams and self.call.route.rest.endswith("/stream"):
            return await perform(self.core, self.call, self.endpoint, job, sink)
        return await performed(self.core, self.endpoint, job, self.endpoint.call)


async def serve(call: Call, payloads: Payloads) -> Reply:
    """Answer payloads one after the other; while one is processed, the next ones wait in the socket."""
    if call.headers.get("Upgrade", "").lower() != "websocket":
        return request_error(426, "Expected a WebSocket handshake")
    try:
        options = parse_options(call.headers, call.query)
    except BadOption as error:
        return request_error(400, str(error), "bad_request")
    await stall(call.effect)
    connection = web.WebSocketResponse(max_msg_size=0, compress=False)
    await connection.prepare(call.request)
    await _converse(call, payloads, options, connection)
    return connection


async def _converse(
    call: Call, payloads: Payloads, options: CallOptions, connection: web.WebSocketResponse
) -> None:
    answered = 0
    async for message in connection:
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            return
        call.job = payloads.open_job(options)
        await _Exchange(payloads, call.job, connection).answer(message.data)
        answered += 1
        if _broken_by_a_fault(call, answered):
            return


def _broken_by_a_fault(call: Call, answered: int) -> bool:
    """Break the connection if a fault applies after this answer, and return whether it did."""
    if call.effect.ending is None or not call.effect.applies_to(answered):
        return False
    break_off(call.request, call.effect.ending)
    return True


class _Exchange:
    """One payload and its answer: start, body frames, end. It is also the sink of a streamed answer."""

    def __init__(self, payloads: Payloads, job: Job, connection: web.WebSocketResponse) -> None:
        self._payloads, self._job, self._connection = payloads, job, connection
        self._began_at = time.monotonic()
        self._first_byte: float | None = None
        self._status = 200

    async def answer(self, payload: str | bytes) -> None:
        answer = await self._work(payload)
        if self._first_byte is None:
            await self.begin(answer.status, {name.lower(): text for name, text in answer.headers.items()})
            await self.write(answer.body)
        await self._control("end", time_to_first_byte_seconds=self._first_byte)

    async def _work(self, payload: str | bytes) -> Answer:
        try:
            self._job.input = json.loads(payload)
        except ValueError as error:
            return bad_json(error)
        return await self._payloads.answer(payload, self._job, self)

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self._status, self._first_byte = status, time.monotonic() - self._began_at
        await self._control("start", headers=dict(headers))

    async def write(self, data: bytes) -> None:
        await self._connection.send_bytes(data)

    async def _control(self, kind: str, **more: Any) -> None:
        control = {"type": kind, "request_id": self._job.request_id, "status": self._status, **more}
        await self._connection.send_json(control)
