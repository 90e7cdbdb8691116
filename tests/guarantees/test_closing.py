"""A session is closed at each step of an operation of an integration, which then raises a FalError or succeeds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request

from fal_async import FalError, Session
from fal_async.emulator import Emulator
from fal_async.integrations.proxy import FalProxy
from fal_async.integrations.starlette import sse_response

STEPS = range(48)
"""Steps of the event loop between the start of the operation and the closing of the session."""
Operation = Callable[[Session, Emulator], Awaitable[None]]


async def stays_connected() -> Any:
    await asyncio.Event().wait()


async def discarded(_: Any) -> None:
    """Discard what is sent to the browser."""


async def proxied(fal: Session, _: Emulator) -> None:
    target = [(b"x-fal-target-url", b"https://queue.fal.run/me/echo")]
    scope: Any = {"type": "http", "method": "POST", "headers": target, "client": None, "state": {}}
    messages = [{"type": "http.request", "body": b"{}", "more_body": False}]

    async def receive() -> Any:
        return messages.pop() if messages else await stays_connected()

    await FalProxy(endpoints=["me/**"], anonymous=True, session=fal)(scope, receive, discarded)


async def relayed(fal: Session, source: Any) -> None:
    scope: Any = {"type": "http", "method": "GET", "headers": []}
    await (await sse_response(Request(scope), source))(scope, stays_connected, discarded)


async def relayed_request(fal: Session, _: Emulator) -> None:
    await relayed(fal, lambda: fal.queue.submit("me/echo", {}))


async def relayed_stream(fal: Session, _: Emulator) -> None:
    await relayed(fal, fal.stream("me/words", {}))


async def realtime_requests(fal: Session, _: Emulator) -> None:
    async with fal.realtime.connect("me/echo") as connection:
        for number in range(3):
            await connection.request(number)


async def realtime_messages(fal: Session, _: Emulator) -> None:
    async with fal.realtime.connect("me/words") as connection:
        await connection.send(1)
        async for message in connection:
            if message == 2:
                break


async def calls_over_a_websocket(fal: Session, _: Emulator) -> None:
    async with fal.websocket("me/echo") as calls:
        for number in range(3):
            await calls.run({"n": number})


async def received_webhook(fal: Session, emulator: Emulator) -> None:
    body = json.dumps({"request_id": "r-1", "status": "OK", "payload": {}}).encode()
    headers = emulator.webhooks.keys.signed_headers("r-1", body)
    await fal.webhooks.attach("https://me.example/hook").receive(headers, body)


async def awaited_webhook(fal: Session, _: Emulator) -> None:
    fal.webhooks.attach("http://127.0.0.1:1/hook")
    await fal.subscribe("me/echo", {}, mode="webhook")


@pytest.mark.parametrize(
    "operation",
    [
        proxied,
        relayed_request,
        relayed_stream,
        realtime_requests,
        realtime_messages,
        calls_over_a_websocket,
        received_webhook,
        awaited_webhook,
    ],
)
async def test_closing_the_session_at_any_step_ends_an_operation_with_a_fal_error(
    emulator: Emulator, operation: Operation
) -> None:
    @emulator.endpoint("me/echo", runners=200)
    async def echo(input: Any) -> Any:
        return input

    @emulator.endpoint("me/words", runners=200)
    async def words(_: Any) -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    for steps in STEPS:
        fal = Session(emulator.key, hosts=emulator.hosts)
        await fal.open()
        running = asyncio.ensure_future(operation(fal, emulator))
        for _ in range(steps):
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await fal.aclose()
            await asyncio.wait((running,))
        error = running.exception()
        assert error is None or isinstance(error, FalError), f"closed after {steps} steps"
