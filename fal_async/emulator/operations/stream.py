"""Streams, `POST fal.run/{id}/stream`: server-sent events or chunks of bytes (protocol 5.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Protocol

from aiohttp import web
from multidict import CIMultiDict

from fal_async.emulator.core import Call, Core, Performance, Reply
from fal_async.emulator.faults.delivery import send, stall
from fal_async.emulator.faults.effect import Piece
from fal_async.emulator.jobs.endpoints import Endpoint
from fal_async.emulator.jobs.job import COMPLETED, Job, JobContext, Work
from fal_async.emulator.jobs.options import CallOptions
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.operations.realtime_tokens import refusal
from fal_async.emulator.operations.status_stream import KEEP_ALIVE
from fal_async.emulator.operations.submit import (
    open_job,
    open_performance,
    options_and_input,
    outcome,
    recorded,
    run,
)
from fal_async.emulator.wire.answers import Answer
from fal_async.emulator.wire.http_connection import hang_up
from fal_async.emulator.wire.routing import normal_id
from fal_async.emulator.wire.sse import CHUNKS, EVENTS, encode


class Sink(Protocol):
    """The target of a stream: the body of an answer, or frames of a WebSocket (protocol 5.2)."""

    async def begin(self, status: int, headers: Mapping[str, str]) -> None: ...
    async def write(self, data: bytes) -> None: ...


class AnswerBody:
    """The sink of a plain call; `response` is None until the stream has begun."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.response: web.StreamResponse | None = None

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.response = web.StreamResponse(status=status, headers=headers)
        await self.response.prepare(self._call.request)

    async def write(self, data: bytes) -> None:
        if self.response is None:
            raise RuntimeError("the stream has not begun")
        await self.response.write(data)


async def stream(core: Core, call: Call) -> Reply:
    """Run a model ahead of the queue; like any direct call, it is stopped when the caller disconnects."""
    endpoint = core.endpoints.find_used(call.route.rest, call.route.endpoint_id)
    if refused := refusal(core, call, public=endpoint is not None and endpoint.public):
        return refused
    found, options, input = await recorded(core, call, "stream")
    if found is not None:
        return found if isinstance(found, Answer) else await _replayed(core, call, found, options, input)
    if endpoint is not None and not endpoint.streams and endpoint.endpoint_id == call.route.endpoint_id:
        # The caller accepts events, but this endpoint answers in one piece.
        return core.endpoints.missing(call.route.rest) if _has_tail(call) else await run(core, call)
    if endpoint is None or not endpoint.streams:
        return core.endpoints.missing(call.route.rest)
    taken = options_and_input(call)
    if isinstance(taken, Answer):
        return taken
    await stall(call.effect)
    call.job = open_job(core, call, endpoint, *taken, via="stream")
    body = AnswerBody(call)
    answer = await perform(core, call, endpoint, call.job, body)
    return answer if body.response is None else body.response


async def _replayed(
    core: Core, call: Call, performance: Performance, options: CallOptions, input: Any
) -> Reply:
    await stall(call.effect)
    job = call.job = open_performance(core, call, performance, options, input, via="stream")
    body = AnswerBody(call)
    sender = Sender(call, job, body)
    answer = await followed(core, performance.served, job, sender, partial(performance.stream, sender))
    return answer if body.response is None else body.response


def _has_tail(call: Call) -> bool:
    return normal_id(call.route.rest) != call.route.endpoint_id


async def perform(core: Core, call: Call, endpoint: Endpoint, job: Job, sink: Sink) -> Answer:
    """Run a model, and send its values to `sink`. The returned answer is sent only if `sink` got nothing."""
    sender = Sender(call, job, sink)
    return await followed(core, endpoint, job, sender, partial(sender.work, endpoint))


async def followed(core: Core, served: Served, job: Job, sender: Sender, work: Work) -> Answer:
    """Run a job, whose `work` sends through `sender`, until it is completed or the caller disconnects."""
    runners = core.runners.of(served, job.account)
    runners.enter(job, work)
    try:
        while job.state != COMPLETED:
            await _completed_within(job, core.keep_alive)
            await sender.keep_alive()
    except asyncio.CancelledError:
        runners.stop(job, "client_disconnected")
        raise
    if sender.begun and not sender.finished:
        sender.break_off()
    return outcome(job)


async def _completed_within(job: Job, seconds: float) -> None:
    try:
        await job.wait_for(COMPLETED, timeout=seconds)
    except TimeoutError:
        return


class Sender:
    """Sends a model's values to a sink, with the fault of this call applied."""

    def __init__(self, call: Call, job: Job, sink: Sink) -> None:
        self._call, self._job, self._sink = call, job, sink
        self._count = 0
        self._busy = self._broken_off = self._binary = False
        self._written = 0
        self._written_before = 0
        self.begun: bool = False
        self.finished: bool = False

    async def work(self, endpoint: Endpoint, input: Any, job: JobContext) -> Answer | None:
        """Send the values, and the headers with the first one; an earlier failure is an ordinary error answer.

        An `Answer` among the values is not sent: it ends the stream, and is the request's outcome.
        """
        answer = None
        async with aclosing(endpoint.stream(input, job)) as values:
            async for value in values:
                if isinstance(answer := value, Answer):
                    break
                answer = None
                if not self.begun:
                    await self._begin(value)
                if not await self.pass_on(value):
                    break
        if not self.begun and answer is None:
            await self._begin(None)
        self.finished = True
        return answer

    async def pass_on(self, value: Any) -> bool:
        """Send a value. Return False if a fault has broken the stream off."""
        if not self._broken_off:
            self._count += 1
            await self._send(_bytes(self._call.effect.value(value)))
        return not self._broken_off

    async def keep_alive(self) -> None:
        """Send a comment if nothing was written since the last call of this method."""
        idle = self.begun and self._written == self._written_before
        self._written_before = self._written
        if idle and not (self._busy or self._binary or self._broken_off or self._job.state == COMPLETED):
            await self._sink.write(KEEP_ALIVE)

    def break_off(self) -> None:
        """Close the connection within the body, since a failure can't change the status any more."""
        self._broken_off = True
        hang_up(self._call.request)

    async def begin(self, status: int, headers: Mapping[str, str], *, binary: bool) -> None:
        """Send the headers. `binary`: values are raw bytes, so no comments are sent between them."""
        self._binary = binary
        headers = CIMultiDict(headers)
        headers["x-fal-request-id"] = self._job.request_id
        await self._sink.begin(status, self._call.effect.spoil(Answer(status, headers)).headers)
        self.begun = True
        await self._send(b"")

    async def _begin(self, value: Any) -> None:
        binary = isinstance(value, bytes | bytearray)
        headers = {"Content-Type": CHUNKS if binary else EVENTS, "Cache-Control": "no-cache"}
        await self.begin(200, headers, binary=binary)

    async def _send(self, data: bytes) -> None:
        effect = self._call.effect
        pieces = effect.in_stream(data) if effect.applies_to(self._count) else [Piece(data)]
        self._busy = True
        self._broken_off = not await send(pieces * effect.copies, self._write, self._call.request)
        self._busy = False

    async def _write(self, data: bytes) -> None:
        await self._sink.write(data)
        self._written += 1


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | bytearray) else encode(value)
