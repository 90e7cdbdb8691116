"""HTTP over WebSocket: `wss://ws.fal.run/{id}`, several requests on one connection (protocol 5.2)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import WSMsgType, web

from fal_async.emulator.apps.interface import Mount
from fal_async.emulator.core import Call, Core, Reply
from fal_async.emulator.faults.delivery import stall
from fal_async.emulator.jobs.endpoints import Endpoint
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.jobs.options import BadOption, CallOptions, parse_options
from fal_async.emulator.operations.mounted import mounted_operations
from fal_async.emulator.operations.stream import perform
from fal_async.emulator.operations.submit import open_job, performed
from fal_async.emulator.wire.answers import Answer, bad_json, request_error
from fal_async.emulator.wire.connection import break_off


async def websocket(core: Core, call: Call) -> Reply:
    served = _served(core, call)
    if served is None:
        return core.endpoints.missing(call.route.rest)
    if call.headers.get("Upgrade", "").lower() != "websocket":
        return request_error(426, "Expected a WebSocket handshake")
    try:
        options = parse_options(call.headers, call.query)
    except BadOption as error:
        return request_error(400, str(error), "bad_request")
    await stall(call.effect)
    connection = web.WebSocketResponse(max_msg_size=0, compress=False)
    await connection.prepare(call.request)
    await _serve(core, call, served, options, connection)
    return connection


def _served(core: Core, call: Call) -> Endpoint | Mount | None:
    if mount := core.endpoints.mounted(call.route.rest, call.route.endpoint_id):
        return mount
    endpoint = core.endpoints.find_used(call.route.rest, call.route.endpoint_id)
    if endpoint is None or (call.route.rest != call.route.endpoint_id and not endpoint.streams):
        return None
    return endpoint


async def _serve(
    core: Core,
    call: Call,
    served: Endpoint | Mount,
    options: CallOptions,
    connection: web.WebSocketResponse,
) -> None:
    """Answers come in the order of the payloads; while one is worked on, the next ones wait in the socket."""
    answered = 0
    async for message in connection:
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            return
        exchange = _Exchange(core, call, served, connection)
        await exchange.answer(message.data, options)
        answered += 1
        if _struck(call, answered):
            return


def _struck(call: Call, answered: int) -> bool:
    """Faults of the connection strike between answers."""
    if call.effect.ending is None or not call.effect.strikes(answered):
        return False
    break_off(call.request, call.effect.ending)
    return True


class _Exchange:
    """One payload and its answer: start, body frames, end. It is also the sink of a stream."""

    def __init__(
        self, core: Core, call: Call, served: Endpoint | Mount, connection: web.WebSocketResponse
    ) -> None:
        self._core, self._call, self._served, self._connection = core, call, served, connection
        self._began_at = time.monotonic()
        self._first_byte: float | None = None
        self._status = 200
        self._job: Job | None = None

    async def answer(self, payload: str | bytes, options: CallOptions) -> None:
        job = self._job = self._call.job = self._opened(options)
        answer = await self._work(payload, job)
        if answer is not None:
            await self.begin(answer.status, {name.lower(): text for name, text in answer.headers.items()})
            await self.write(answer.body)
        await self._control("end", time_to_first_byte_seconds=self._first_byte)

    def _opened(self, options: CallOptions) -> Job:
        if isinstance(self._served, Mount):
            return mounted_operations.open_job(
                self._core, self._call, self._served, options, None, via="websocket"
            )
        return open_job(self._core, self._call, self._served, options, None, via="websocket")

    async def _work(self, payload: str | bytes, job: Job) -> Answer | None:
        """The answer in one piece; None where it was streamed to this sink already."""
        try:
            job.input = json.loads(payload)
        except ValueError as error:
            return bad_json(error)
        if isinstance(self._served, Mount):
            body = payload.encode() if isinstance(payload, str) else payload
            answer = await mounted_operations.through(self._core, self._call, self._served, job, body, self)
        elif self._served.streams and self._call.route.rest.endswith("/stream"):
            answer = await perform(self._core, self._call, self._served, job, self)
        else:
            answer = await performed(self._core, self._served, job)
        return answer if self._first_byte is None else None

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self._status, self._first_byte = status, time.monotonic() - self._began_at
        await self._control("start", headers=dict(headers))

    async def write(self, data: bytes) -> None:
        await self._connection.send_bytes(data)

    async def _control(self, kind: str, **more: Any) -> None:
        request_id = None if self._job is None else self._job.request_id
        await self._connection.send_json(
            {"type": kind, "request_id": request_id, "status": self._status, **more}
        )
