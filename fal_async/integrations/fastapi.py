"""Use fal in FastAPI applications: the session as a dependency, and all names of `integrations.starlette`."""

# Without `from __future__ import annotations`: FastAPI could not resolve those of a callable object.

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
    "idempotency_key",
    "peer_address",
    "sse_response",
    "webhook_route",
    "webhook_router",
    "while_connected",
]


class FalDependency:
    """A dependency that returns the process's session, and cancels the handler if the client disconnects.

    Use it as `fal: Annotated[Session, Depends(FalDependency(), scope="function")]`, or as its short form `Fal`.

    If the client disconnects, the handler is cancelled at its current await, and the fal request that it waits for
    is cancelled too. In a WebSocket handler nothing is cancelled: the handler itself gets the disconnect.

    `scope="function"` is required: it stops the watch when the handler returns, before the response is sent. In a
    dependency of yours that yields and stays open until after the response, use `Depends(get_session)`.

    Args:
        cancel_on_disconnect: If False, the handler goes on when the client disconnects. Default True.

    Attributes:
        cancel_on_disconnect: The argument.
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
    await past_the_body(request)  # before the handler starts, which may read it too
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

    The key is `"{scope}:{value}"`, with the value of the header `Idempotency-Key`: 1 to 255 printable ASCII
    characters. A missing or invalid header is answered with 400. If the key would be invalid, such as longer than
    255 characters, the SHA-256 of the value takes its place. OpenAPI shows the header.

    Args:
        scope: Whose key it is: a dependency of yours, such as a function of the request (async or not), that
            returns the id of the signed-in user (`str`, `int` or `UUID`), or a `str` that all callers share.
            Without separate scopes, a caller who guesses another user's header would get that user's result. The
            dependency's result is checked for each request, and raises ConfigurationError if it is None or has
            another type.
        required: If False, the dependency returns None for a request without the header, which means a call
            without a key. Default True.

    Returns:
        The dependency. Cancelling it is safe: it sends nothing.

    Raises:
        ConfigurationError: If `scope` is a `str` that can't be used: 1 to 128 printable characters are allowed.
    """
    if not callable(scope):
        scope_text(scope)  # a bad `str` is reported here, not by the first request
    shown = Header(
        alias=HEADER, description=DESCRIPTION, json_schema_extra={"minLength": 1, "maxLength": 255}
    )

    async def key_of(
        request: Request,
        whose: Annotated[Any, Depends(_dependency(scope) if callable(scope) else lambda: scope)],
        value: Annotated[str | None, shown] = None,  # only for OpenAPI: FastAPI would answer 422, not 400
    ) -> str | None:
        value = header_value(request, required=required)
        return None if value is None else scoped_key(whose, value)

    return key_of


def _dependency(scope: Callable[..., Any]) -> Callable[..., Any]:
    """Pass the request to a function with one unannotated parameter: FastAPI would read it from the query."""
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

    Takes the arguments of `webhook_route`.

    Args:
        path: The path of the route, such as "/fal/webhook".
        receiver: The receiver. None (default): the one attached to the session by `fal.webhooks.attach`.
        client: Returns the sender's IP address, needed if the receiver checks addresses. Default `peer_address`.

    Returns:
        The router.
    """
    return APIRouter(routes=[webhook_route(path, receiver=receiver, client=client)])
