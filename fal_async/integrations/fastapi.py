"""Use fal in FastAPI applications: the session as a dependency, and all names of `integrations.starlette`."""

# No `from __future__ import annotations` here: FastAPI can't resolve such annotations of a callable object.

import asyncio
import contextlib
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, cast

from fal_async.integrations import needed_by

with needed_by("fastapi", "FastAPI"):
    from fastapi import APIRouter, Depends, Header, HTTPException, Request
    from fastapi.requests import HTTPConnection

from fal_async.integrations.disconnect import CLIENT_GONE, DisconnectWatch, disconnected
from fal_async.integrations.idempotency import DESCRIPTION, HEADER, scope_text, scoped_key
from fal_async.integrations.sse import sse_response
from fal_async.integrations.starlette import (
    Lifespan,
    client_gone_handler,
    exception_handlers,
    fal_error_handler,
    fal_lifespan,
    get_session,
    header_value,
    peer_address,
    read_whole_body,
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
    "idempotency_key",
    "peer_address",
    "sse_response",
    "webhook_route",
    "webhook_router",
    "while_connected",
]


class FalDependency:
    """A dependency that returns the application's session, and cancels the handler if the client disconnects.

    Use it as `fal: Annotated[Session, Depends(FalDependency(), scope="function")]`, or as its short form `Fal`.

    If the client disconnects, the handler is cancelled at its current await, and the fal request that it waits for
    is cancelled on fal. A WebSocket handler is not cancelled, because it receives the disconnect itself.

    `scope="function"` is required, so that a disconnect is noticed only until the handler returns, not while the
    response is sent. Your own dependency that yields and is closed after the response must use
    `Depends(get_session)`.

    Args:
        cancel_on_disconnect: Whether the handler is cancelled when the client disconnects; default True.

    Attributes:
        cancel_on_disconnect: The argument of that name.
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
"""The session as a parameter: `async def handler(fal: Fal)`. See `FalDependency`."""


@contextlib.asynccontextmanager
async def _cancelled_on_disconnect(request: Request) -> AsyncIterator[None]:
    await read_whole_body(request)  # before the handler starts, which may read the body too
    # FastAPI runs the handler in this task.
    handler = cast("asyncio.Task[Any]", asyncio.current_task())
    watch = DisconnectWatch(handler, disconnected(request.receive))
    try:
        async with watch:
            yield
    except asyncio.CancelledError:
        if not watch.is_the_cause():
            raise
        raise HTTPException(CLIENT_GONE) from None


def idempotency_key(
    *, scope: str | Callable[..., Any], required: bool = True
) -> Callable[..., Awaitable[str | None]]:
    """Make a dependency that returns the `key=` of a call.

    Use it as `key: Annotated[str, Depends(idempotency_key(scope=user_id))]`.

    The key is `"{scope}:{value}"`, where `value` is the value of the header `Idempotency-Key` (1 to 255 printable
    ASCII characters) and each `%` or `:` in the scope is percent-encoded. If this has more than 255 characters, or
    looks like a fal API key, the key is `"{scope}:sha256-{digest}"` with the SHA-256 of the value in hex. A missing
    or invalid header is answered with status 400.
    OpenAPI shows the header.

    Args:
        scope: Your own dependency, such as a function of the request (async or not), that returns the id of the
            signed-in user (`str`, `int` or `UUID`), or a `str` that all callers share. Without separate scopes, a
            caller who guesses the header of another user would get that user's result.
        required: Whether a request without the header is answered with status 400; default True. If False, the
            dependency returns None for it, and the call has no key.

    Returns:
        The dependency. It raises `HTTPException` with status 400 if the header is missing or invalid, and
        ConfigurationError if `scope` returns None, a value of another type or an unusable `str`. Cancelling it is
        safe: it sends nothing.

    Raises:
        ConfigurationError: If `scope` is neither a function nor a `str` of 1 to 128 printable characters, where
            each `%` or `:` counts as three.
    """
    if not callable(scope):
        scope_text(scope)  # a bad `str` is reported here, not by the first request
    shown = Header(
        alias=HEADER, description=DESCRIPTION, json_schema_extra={"minLength": 1, "maxLength": 255}
    )

    async def key_of(
        request: Request,
        whose: Annotated[Any, Depends(_dependency(scope) if callable(scope) else lambda: scope)],
        value: Annotated[str | None, shown] = None,  # only for OpenAPI: its check would answer 422, not 400
    ) -> str | None:
        value = header_value(request, required=required)
        return None if value is None else scoped_key(whose, value)

    return key_of


def _dependency(scope: Callable[..., Any]) -> Callable[..., Any]:
    """Pass the request to a function with one unannotated parameter, which FastAPI would take from the query."""
    parameters = list(inspect.signature(scope).parameters.values())
    if len(parameters) != 1 or parameters[0].annotation is not inspect.Parameter.empty:
        return scope

    async def of_request(request: Request) -> Any:
        whose = scope(request)
        return await whose if inspect.isawaitable(whose) else whose

    return of_request


def webhook_router(
    path: str,
    *,
    receiver: WebhookReceiver | None = None,
    client: Callable[[Request], str | None] = peer_address,
) -> APIRouter:
    """Make a router with a `webhook_route`: `app.include_router(webhook_router("/fal/webhook"))`.

    Args:
        path: The path of the route, such as "/fal/webhook".
        receiver: The receiver. None (default): the receiver that `fal.webhooks.attach` attached to the session.
        client: Returns the sender's IP address, which is used only if the receiver checks addresses. Default
            `peer_address`.

    Returns:
        The router.
    """
    return APIRouter(routes=[webhook_route(path, receiver=receiver, client=client)])
