"""fal in FastAPI applications: the session as a dependency, and all of `integrations.starlette`."""

# Not with `from __future__ import annotations`: FastAPI could not read those of a callable object.

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


def idempotency_key(
    *, scope: str | Callable[..., Any], required: bool = True
) -> Callable[..., Awaitable[str | None]]:
    """A dependency that gives the `key=` of a call: `key: Annotated[str, Depends(idempotency_key(scope=user_id))]`.

    It is `"{scope}:{value}"`, with the value of the header `Idempotency-Key` (1-255 printable ASCII characters;
    anything else, and a missing header, is answered with 400). Where that is no possible key, such as one of more
    than 255 characters, the value stands there as its SHA-256. OpenAPI shows the header.

    scope       whose key it is: a dependency of yours that gives the id of who signed in (str, int or UUID), such
                as a function, async or not, of the request; or a text, the same for all callers. Without it,
                who guesses another one's header would get that one's result. What it gives is checked for each
                request: None is a ConfigurationError
    required    False: without the header, None, a call without a key
    """
    if not callable(scope):
        scope_text(scope)  # what is wrong with a text is told at once
    shown = Header(
        alias=HEADER, description=DESCRIPTION, json_schema_extra={"minLength": 1, "maxLength": 255}
    )

    async def key_of(
        request: Request,
        whose: Annotated[Any, Depends(_dependency(scope) if callable(scope) else lambda: scope)],
        value: Annotated[str | None, shown] = None,  # read below, so that what is wrong with it is a 400
    ) -> str | None:
        value = header_value(request, required=required)
        return None if value is None else scoped_key(whose, value)

    return key_of


def _dependency(scope: Callable[..., Any]) -> Callable[..., Any]:
    """FastAPI takes a parameter without a type, as a lambda's, for one of the query: here it is the request."""
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
    """`app.include_router(webhook_router("/fal/webhook"))`: see `webhook_route`."""
    return APIRouter(routes=[webhook_route(path, receiver=receiver, client=client)])
