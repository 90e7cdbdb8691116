"""The end of `fal_lifespan` waits for requests that are being cancelled, not for tasks that used the session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from fal_async import Session, SessionStateError
from fal_async.emulator import Emulator
from fal_async.integrations.starlette import fal_lifespan, get_session
from tests.emulator.gate import Gate
from tests.quick import GATE, gate_at

_PATIENCE = 4.0
"""Seconds allowed for closing the lifespan, which is immediate if no request is running."""


@pytest.fixture
def gate(emulator: Emulator) -> Gate:
    return gate_at(emulator)


@pytest.fixture
def app(emulator: Emulator) -> Starlette:
    async def page(request: Request) -> Response:
        return PlainTextResponse(repr(get_session(request)))

    async def waits(request: Request) -> Response:
        await get_session(request).subscribe(GATE)
        return PlainTextResponse("done")

    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(repr(get_session(socket)))
        await socket.close()

    return Starlette(
        routes=[Route("/page", page), Route("/waits", waits), WebSocketRoute("/talk", talk)],
        lifespan=fal_lifespan(lambda: Session(emulator.key, hosts=emulator.hosts)),
    )


async def ask(app: Starlette, path: str) -> list[Any]:
    """Send one request to the application in this task, and return the messages of its response."""
    sent: list[Any] = []
    kind = "websocket" if path == "/talk" else "http"

    async def receive() -> dict[str, Any]:
        return {"type": f"{kind}.{'connect' if kind == 'websocket' else 'request'}"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": kind, "method": "GET", "path": path, "root_path": "", "query_string": b"", "headers": []}
    await app(scope, receive, send)
    return sent


@asynccontextmanager
async def running(app: Starlette) -> AsyncIterator[None]:
    """Run the application's lifespan, and check that closing it does not wait."""
    lifespan = app.router.lifespan_context(app)
    await lifespan.__aenter__()
    yield
    async with asyncio.timeout(_PATIENCE):
        await lifespan.__aexit__(None, None, None)


async def in_the_closing_task(app: Starlette, path: str) -> list[Any]:
    async with running(app):
        return await ask(app, path)


async def in_a_task_that_waits_for_the_end(app: Starlette, path: str) -> list[Any]:
    """Run the lifespan in a separate task, as asgi-lifespan does."""
    began, end = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with running(app):
            began.set()
            await end.wait()

    lifespan = asyncio.create_task(live())
    await began.wait()
    sent = await ask(app, path)
    end.set()
    await lifespan
    return sent


@pytest.mark.parametrize("path", ["/page", "/talk"])
@pytest.mark.parametrize("where", [in_the_closing_task, in_a_task_that_waits_for_the_end])
async def test_closing_the_lifespan_does_not_wait_for_tasks_that_ran_handlers(
    app: Starlette, where: Callable[[Starlette, str], Awaitable[list[Any]]], path: str
) -> None:
    sent = await where(app, path)
    assert "<Session open" in str(sent)
    assert app.state.fal.closed


@pytest.mark.parametrize("cancelled", [True, False])
async def test_closing_the_lifespan_cancels_the_requests_of_running_handlers(
    app: Starlette, emulator: Emulator, gate: Gate, cancelled: bool
) -> None:
    async with app.router.lifespan_context(app):
        handling = asyncio.ensure_future(ask(app, "/waits"))
        await emulator.wait_for("status")
        if cancelled:  # as a stopping server does
            handling.cancel()
    assert emulator.count("cancel") == len(emulator.jobs) == 1
    with pytest.raises(asyncio.CancelledError if cancelled else SessionStateError):
        await handling
