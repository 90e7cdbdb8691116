"""fal in FastAPI applications: the session as a dependency, and all of `integrations.starlette`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Annotated

try:
    from fastapi import APIRouter, Depends, HTTPException, Request
except ImportError as missing:
    raise ImportError(
        "fal_async.integrations.fastapi needs FastAPI: pip install 'fal-async[fastapi]'"
    ) from missing

from fal_async.integrations.starlette import (
    Lifespan,
    client_gone_handler,
    disconnected,
    end_tasks,
    exception_handlers,
    fal_error_handler,
    fal_lifespan,
    get_session,
    peer_address,
    sse_response,
    webhook_route,
    while_connected,
)
from fal_async.session import Session
from fal_async.webhooks import WebhookReceiver

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
_CLIENT_GONE = 499


class FalDependency:
    """The process's session: `fal: Annotated[Session, Depends(FalDependency(), scope="function")]`, or `Fal`.

    When the browser leaves, the handler is cancelled where it waits, and with it the request that it waits
    for, also on fal. `cancel_on_disconnect=False` lets it go on.

    `scope="function"` is needed for the former: it ends the watch with the handler, before the answer is sent.
    """

    def __init__(self, *, cancel_on_disconnect: bool = True) -> None:
        self.cancel_on_disconnect = cancel_on_disconnect

    async def __call__(self, request: Request) -> AsyncGenerator[Session, None]:
        session = get_session(request)
        if not self.cancel_on_disconnect:
            yield session
            return
        async with _cancelled_on_disconnect(request):
            yield session


Fal = Annotated[Session, Depends(FalDependency(), scope="function")]
"""`async def handler(fal: Fal)`."""


@contextlib.asynccontextmanager
async def _cancelled_on_disconnect(request: Request) -> AsyncIterator[None]:
    # FastAPI runs dependencies and handler in one task: this one.
    handler = asyncio.current_task()
    assert handler is not None
    await request.body()  # what comes after it can only be the disconnect
    gone = asyncio.ensure_future(disconnected(request.receive))
    cancelled = False

    def cancel(_: asyncio.Future[None]) -> None:
        nonlocal cancelled
        if not gone.cancelled():
            cancelled = handler.cancel()

    gone.add_done_callback(cancel)
    try:
        yield
    except asyncio.CancelledError:
        # Ours alone is over with this; the server's own cancellation goes on.
        if not cancelled or handler.uncancel() > 0:
            raise
        raise HTTPException(_CLIENT_GONE) from None
    finally:
        gone.remove_done_callback(cancel)
        await end_tasks(gone)


def webhook_router(
    path: str,
    *,
    receiver: WebhookReceiver | None = None,
    client: Callable[[Request], str | None] = peer_address,
) -> APIRouter:
    """`app.include_router(webhook_router("/fal/webhook"))`: see `webhook_route`."""
    return APIRouter(routes=[webhook_route(path, receiver=receiver, client=client)])
