"""fal in FastAPI applications: the session as a dependency, and all of `integrations.starlette`."""

# Not with `from __future__ import annotations`: FastAPI could not read those of a callable object.

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Annotated, Any, cast

from fal_async.integrations import needed_by

with needed_by("fastapi", "FastAPI"):
    from fastapi import APIRouter, Depends, HTTPException, Request
    from fastapi.requests import HTTPConnection

from fal_async.integrations.disconnect import CLIENT_GONE, DisconnectWatch, disconnected
from fal_async.integrations.sse import sse_response
from fal_async.integrations.starlette import (
    Lifespan,
    client_gone_handler,
    exception_handlers,
    fal_error_handler,
    fal_lifespan,
    get_session,
    past_the_body,
    peer_address,
    webhook_route,
    while_connected,
)
from fal_async.session import Session
from fal_async.webhooks.receiver import WebhookReceiver

__all__ = [
    "Fal",
    "FalDependency",
    "Lifespan",
    "client_gone_handler",
    "exception_handlers",
    "fal_error_handler",
    "fal_lifespan",
    "get_session",
    "peer_address",
    "sse_response",
    "webhook_route",
    "webhook_router",
    "while_connected",
]


class FalDependency:
    """The process's session: `fal: Annotated[Session, Depends(FalDependency(), scope="function")]`, or `Fal`.

    When the browser leaves, the handler is cancelled where it waits, and with it the request that it waits
    for, also on fal. `cancel_on_disconnect=False` lets it go on. With a WebSocket the handler itself is the one
    that hears of the leaving.

    `scope="function"` is needed for the former: it ends the watch with the handler, before the answer is sent.
    A dependency of yours that yields and lives until then takes `Depends(get_session)`.
    """

    def __init__(self, *, cancel_on_disconnect: bool = True) -> None:
        self.cancel_on_disconnect = cancel_on_disconnect

    async def __call__(self, connection: HTTPConnection) -> AsyncGenerator[Session, None]:
        session = get_session(connection)
        if not self.cancel_on_disconnect or not isinstance(connection, Request):
            yield session
            return
        async with _cancelled_on_disconnect(connection):
            yield session


Fal = Annotated[Session, Depends(FalDependency(), scope="function")]
"""`async def handler(fal: Fal)`."""


@contextlib.asynccontextmanager
async def _cancelled_on_disconnect(request: Request) -> AsyncIterator[None]:
    await past_the_body(request)  # before the handler, which may want to read it, too
    # FastAPI runs the handler in the same task.
    handler = cast("asyncio.Task[Any]", asyncio.current_task())
    watch = DisconnectWatch(handler, disconnected(request.receive))
    try:
        async with watch:
            yield
    except asyncio.CancelledError:
        if not watch.is_the_cause():
            raise
        raise HTTPException(CLIENT_GONE) from None


def webhook_router(
    path: str,
    *,
    receiver: WebhookReceiver | None = None,
    client: Callable[[Request], str | None] = peer_address,
) -> APIRouter:
    """`app.include_router(webhook_router("/fal/webhook"))`: see `webhook_route`."""
    return APIRouter(routes=[webhook_route(path, receiver=receiver, client=client)])
