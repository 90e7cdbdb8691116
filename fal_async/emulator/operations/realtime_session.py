"""One realtime session, as the server framework runs it (protocol 6.4)."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from aiohttp import WSMsgType, web

from fal_async.emulator.core import Call
from fal_async.emulator.faults.effect import Step
from fal_async.emulator.jobs.endpoints import Endpoint
from fal_async.emulator.jobs.job import JobContext
from fal_async.emulator.timing.clock import Clock
from fal_async.emulator.wire.http_connection import break_off, hang_up
from fal_async.emulator.wire.realtime_frames import TIMEOUT, decode, encode, internal_error, timings, torn


class Gone(Exception):
    """The client closed the session, with this reason, or a fault closed the connection."""


class Session:
    """A session, which buffers inputs, lets the model process them, and sends answers and control frames.

    If no input arrives within the session timeout, or if a model that reads the whole session returns, it sends the
    frame TIMEOUT; if an input cannot be read or the model fails, it sends INTERNAL_ERROR. Then it closes with 1000.
    """

    def __init__(
        self,
        call: Call,
        endpoint: Endpoint,
        connection: web.WebSocketResponse,
        clock: Clock,
        *,
        buffering: int | None,
    ) -> None:
        self._call, self._endpoint, self._options = call, endpoint, endpoint.realtime
        self._wire = Wire(call, connection, clock, endpoint.realtime.codec)
        # A full deque deletes its oldest entry.
        self._waiting: deque[Any] = deque(maxlen=buffering)
        self._arrived = asyncio.Event()
        self._no_more = False
        self._reading: asyncio.Task[None] | None = None

    async def closed_in_order(self) -> bool:
        """Read the frames that have arrived, and return whether the client's close is one of them."""
        if self._reading is not None:
            await asyncio.wait([self._reading])
        return self._wire.closed

    async def run(self, _: Any, job: JobContext) -> None:
        reading = self._reading = asyncio.create_task(self._read())
        working = asyncio.create_task(self._work(job))
        try:
            await asyncio.wait({reading, working}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done() and reading.exception() is None:
                await asyncio.wait({working})
            await self._end(reading, working)
        finally:
            reading.cancel()
            working.cancel()
            await asyncio.gather(reading, working, return_exceptions=True)

    async def _end(self, reading: asyncio.Task[None], working: asyncio.Task[None]) -> None:
        failures = [task.exception() for task in (reading, working) if task.done()]
        failure = next((failure for failure in failures if failure is not None), None)
        if isinstance(failure, Gone):
            return
        await self._wire.send(TIMEOUT if failure is None else internal_error(_reason(failure)))
        await self._wire.close(1000)

    async def _read(self) -> None:
        async for data in self._wire.inputs(self._options.session_timeout):
            self._waiting.append(decode(data, self._options.codec))
            self._arrived.set()
        self._no_more = True
        self._arrived.set()

    async def _work(self, job: JobContext) -> None:
        await self._wire.greet()
        if self._options.client_streaming:
            await self._answer(self._inputs(), job)
            return
        async for batch in self._batches():
            await self._answer(batch if self._options.max_batch_size > 1 else batch[0], job)

    async def _batches(self) -> AsyncIterator[list[Any]]:
        """Yield lists of waiting inputs, each up to the batch size, until the session has no more inputs."""
        while True:
            batch = [self._waiting.popleft() for _ in range(self._options.max_batch_size) if self._waiting]
            if batch:
                yield batch
            elif self._no_more:
                return
            else:
                self._arrived.clear()
                await self._arrived.wait()

    async def _inputs(self) -> AsyncIterator[Any]:
        async with aclosing(self._batches()) as batches:  # type: ignore[type-var]
            async for batch in batches:
                for input in batch:
                    yield input

    async def _answer(self, input: Any, job: JobContext) -> None:
        began = time.monotonic()
        if self._endpoint.streams:
            async with aclosing(self._endpoint.stream(input, job)) as values:
                async for value in values:
                    await self._wire.answer(value)
        else:
            await self._wire.answer(await self._endpoint.call(input, job))
        if self._options.timings:
            await self._wire.send(timings(time.monotonic() - began))


class Wire:
    """The connection, with the fault of this call applied."""

    def __init__(self, call: Call, connection: web.WebSocketResponse, clock: Clock, codec: str) -> None:
        self._call, self._connection, self._clock, self._codec = call, connection, clock, codec
        self._count = 0
        self._silent = False
        self.closed: bool = False
        """Whether the client has sent a close frame."""

    async def inputs(self, timeout: float | None) -> AsyncIterator[str | bytes]:
        """Yield payloads until none arrives within `timeout` seconds. Raise `Gone` when the client closes."""
        while True:
            try:
                async with self._clock.limit(timeout):
                    message = await self._connection.receive()
            except TimeoutError:
                return
            if message.type is WSMsgType.PING and not self._silent:
                await self._connection.pong(message.data)
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                yield message.data
            elif message.type not in (WSMsgType.PING, WSMsgType.PONG):
                self.closed = message.type is WSMsgType.CLOSE
                raise Gone(message.extra or "")

    async def greet(self) -> None:
        """Send the frames that a fault inserts before the first message."""
        await self._take([])

    async def answer(self, value: Any) -> None:
        self._count += 1
        effect = self._call.effect
        await self._take([Step(encode(effect.value(value), self._codec))] * effect.copies)

    async def send(self, frame: str | bytes) -> None:
        try:
            await (
                self._connection.send_str(frame)
                if isinstance(frame, str)
                else self._connection.send_bytes(frame)
            )
        except ConnectionError as error:
            raise Gone from error

    async def close(self, code: int, reason: str = "") -> None:
        await self._connection.close(code=code, message=reason.encode())

    async def _take(self, plain: list[Step]) -> None:
        effect = self._call.effect
        for step in effect.in_session(plain, self._codec) if effect.applies_to(self._count) else plain:
            if step.frame is not None and step.end != "torn":
                await self.send(step.frame)
            if step.pause:
                self._silent = True
                await asyncio.sleep(step.pause)
                self._silent = False
            if step.end is not None:
                await self._finish(step)
                raise Gone

    async def _finish(self, step: Step) -> None:
        if isinstance(step.end, int):
            await self.close(step.end, step.reason)
        elif step.end == "torn":
            if (transport := self._call.request.transport) is not None:
                transport.write(torn(step.frame or b""))
            hang_up(self._call.request)
        elif step.end is not None:
            break_off(self._call.request, step.end)


def _reason(failure: BaseException) -> str:
    return f"{type(failure).__name__}: {failure}"
