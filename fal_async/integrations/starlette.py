"""Use fal in Starlette (and FastAPI) applications.

A lifespan that opens the session, keys of calls from a header, calls that are cancelled if the browser disconnects,
server-sent events, webhooks, and responses for errors. Citations such as (protocol 8) are sections of
`fal_async/protocol/README.md`.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, Literal, TypeVar, cast, overload

from fal_async.integrations import needed_by

with needed_by("starlette", "Starlette"):
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, HTTPConnection, Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

from fal_async.callbacks import call_back
from fal_async.errors import FalError, SessionStateError, WebhookVerificationError
from fal_async.integrations.disconnect import CLIENT_GONE, disconnected, finished_before
from fal_async.integrations.error_answers import answer_to
from fal_async.integrations.idempotency import (
    HEADER,
    BadIdempotencyKey,
    read_header,
    scope_text,
    scoped_key,
)
from fal_async.integrations.sse import sse_response
from fal_async.session import Session
from fal_async.webhooks import Receipt, WebhookReceiver

__all__ = [
    "client_gone_handler",
    "exception_handlers",
    "fal_error_handler",
    "fal_lifespan",
    "get_session",
    "idempotency_key",
    "peer_address",
    "sse_response",
    "webhook_route",
    "while_connected",
]
logger: logging.Logger = logging.getLogger("fal_async")
T = TypeVar("T")
Lifespan = Callable[[Any], contextlib.AbstractAsyncContextManager[Mapping[str, Any]]]
"""An ASGI lifespan: a function of the application that returns an async context manager of its state."""
InnerLifespan = Callable[[Any], contextlib.AbstractAsyncContextManager[Mapping[str, Any] | None]]


# The application's session.


def fal_lifespan(
    make_session: Callable[[], Session] | None = None,
    *,
    inner: InnerLifespan | None = None,
    on_open: Callable[[Session], Awaitable[None] | None] | None = None,
) -> Lifespan:
    """Make an ASGI lifespan that opens a session when the application starts and closes it when it stops.

    Handlers get the session with `get_session(request)`. Each worker process of a server has its own session.

    Args:
        make_session: Returns the session. The lifespan opens it, and closes it at the end, even if it was already
            open. None (default): `Session()`, configured by environment variables.
        inner: The application's own lifespan. It runs while the session is open, which is `app.state.fal`. None
            (default): the application has no other lifespan.
        on_open: Called with the open session before the application starts, for example to attach a webhook
            receiver; may be async. None (default): nothing is called.

    Returns:
        The lifespan, for `Starlette(lifespan=...)` or `FastAPI(lifespan=...)`.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[dict[str, Any], None]:
        async with (make_session or Session)() as session:
            app.state.fal = session
            await call_back(on_open, session)
            async with contextlib.nullcontext() if inner is None else inner(app) as state:
                # A server that stops cancels its handlers before it ends the lifespan. So closing the session waits
                # only until their requests are cancelled on fal.
                yield {**(state or {}), "fal": session}

    return lifespan


def get_session(request: HTTPConnection) -> Session:
    """Return the session that `fal_lifespan` opened. It also works as a FastAPI dependency.

    Args:
        request: The HTTP request or WebSocket.

    Raises:
        SessionStateError: If the application has no `fal_lifespan`.
    """
    # The lifespan's state also reaches mounted applications, which have their own `app.state`.
    state, own = request.scope.get("state", {}), request.app.state
    session = state.get("fal") or getattr(own, "fal", None)
    if session is None:
        raise SessionStateError("the application has no open fal session: give it lifespan=fal_lifespan()")
    return cast("Session", session)


# Keys of calls, from the header Idempotency-Key.

Scope = str | Callable[[Request], object]
"""The `scope` of `idempotency_key`: a `str`, or a function (async or not) that returns the id of a user."""


@overload
def idempotency_key(
    *, scope: Scope, required: Literal[True] = True
) -> Callable[[Request], Awaitable[str]]: ...
@overload
def idempotency_key(*, scope: Scope, required: bool) -> Callable[[Request], Awaitable[str | None]]: ...
def idempotency_key(*, scope: Scope, required: bool = True) -> Callable[[Request], Awaitable[str | None]]:
    """Make an async function that returns the `key=` of a call from a request's header `Idempotency-Key`.

    Use it as `order_key = idempotency_key(scope=user_id)`, and in a handler as `key = await order_key(request)`.

    The key is `"{scope}:{value}"`, where `value` is the value of the header `Idempotency-Key` (1 to 255 printable
    ASCII characters) and each `%` or `:` in the scope is percent-encoded. If this has more than 255 characters, or
    looks like a fal API key, the key is `"{scope}:sha256-{digest}"` with the SHA-256 of the value in hex. A missing
    or invalid header is answered with status 400.

    Args:
        scope: A function of the request (async or not) that returns the id of the signed-in user (`str`, `int` or
            `UUID`), or a `str` that all callers share. Without separate scopes, a caller who guesses the header of
            another user would get that user's result.
        required: Whether a request without the header is answered with status 400; default True. If False, the
            returned function returns None for it, and the call has no key.

    Returns:
        An async function of the request. It raises `HTTPException` with status 400 if the header is missing or
        invalid, and ConfigurationError if the scope function returns None, a value of another type or an unusable
        `str`. Cancelling it is safe: it sends nothing.

    Raises:
        ConfigurationError: If `scope` is neither a function nor a `str` of 1 to 128 printable characters, where
            each `%` or `:` counts as three.
    """
    if not callable(scope):
        scope_text(scope)  # a bad `str` is reported here, not by the first request

    async def key_of(request: Request) -> str | None:
        value = header_value(request, required=required)
        if value is None:
            return None
        whose = scope(request) if callable(scope) else scope
        return scoped_key(await whose if inspect.isawaitable(whose) else whose, value)

    return key_of


def header_value(request: HTTPConnection, *, required: bool) -> str | None:
    """Return the value of the header `Idempotency-Key`. Raises HTTPException with status 400 if it is invalid."""
    try:
        return read_header(request.headers.getlist(HEADER), required=required)
    except BadIdempotencyKey as error:
        raise HTTPException(400, str(error)) from None


# Clients that disconnect.


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """Return the result of `work`, and cancel `work` if the client disconnects first.

    A cancelled `fal.subscribe(...)` cancels its request on fal, so that a result that is not used is not billed.
    Cancelling is safe: it cancels `work` and waits until `work` has finished.

    Args:
        request: The HTTP request whose client may disconnect. Its body is read before `work` starts, and
            `request.body()` still returns it.
        work: The awaitable, such as `fal.subscribe(...)`.

    Raises:
        ClientDisconnect: If the client disconnected before `work` was done. `client_gone_handler` handles it.
        Exception: Whatever `work` raises.
    """
    # The body is read before `work` starts, because each of two concurrent readers would get only parts of it.
    try:
        await read_whole_body(request)
    except ClientDisconnect:
        _discard(work)
        raise
    task = asyncio.ensure_future(work)
    if not await finished_before(task, disconnected(request.receive)):
        raise ClientDisconnect
    return task.result()


def _discard(work: Awaitable[Any]) -> None:
    if inspect.iscoroutine(work):
        work.close()
    elif isinstance(work, asyncio.Future):
        work.cancel()


async def read_whole_body(request: Request) -> None:
    """Read the body, so that the next ASGI message can only be the disconnect. Starlette stores it in `request`."""
    with contextlib.suppress(RuntimeError):  # already read, as a form or a stream
        await request.body()


# Webhooks.


def peer_address(request: Request) -> str | None:
    """Return the IP address from which the connection comes; None if the server does not know it.

    Behind a reverse proxy this is the proxy's address. Then pass as `client` of `webhook_route` a function that
    reads the header in which your proxy sends the client's address.

    Args:
        request: The HTTP request.
    """
    return None if request.client is None else request.client.host


def webhook_route(
    path: str,
    *,
    receiver: WebhookReceiver | None = None,
    client: Callable[[Request], str | None] = peer_address,
) -> Route:
    """Make a POST route that receives fal's webhook deliveries (protocol 8).

    It answers 200 if the event was handled by this or an earlier delivery, 401 if fal did not send the delivery,
    413 if the body is larger than the verifier's `max_body`, and 503 if the event could not be handled, or is still
    being handled after an earlier delivery. fal delivers again after a 4xx or 5xx (protocol 8.2).

    Args:
        path: The path of the route, such as "/fal/webhook".
        receiver: The receiver. None (default): the receiver that `fal.webhooks.attach` attached to the session.
        client: Returns the sender's IP address, which is used only if the receiver checks addresses. Default
            `peer_address`.

    Returns:
        The route. It raises SessionStateError, when it is requested, if no receiver is attached or the application
        has no `fal_lifespan`.
    """

    async def take(request: Request) -> Response:
        found = receiver or get_session(request).webhooks.receiver
        if found is None:
            raise SessionStateError("no receiver is attached: call fal.webhooks.attach(public_url)")
        return await _take_delivery(found, request, client(request))

    return Route(path, take, methods=["POST"], name="fal_webhook", include_in_schema=False)


async def _take_delivery(receiver: WebhookReceiver, request: Request, client: str | None) -> Response:
    try:
        body = await _limited_body(request, receiver.verifier.max_body)
    except ClientDisconnect:
        return Response(status_code=CLIENT_GONE)
    if body is None:
        return JSONResponse({"detail": "Too large"}, 413)
    try:
        receipt = await receiver.receive(request.headers.raw, body, client=client, query=request.url.query)
    except FalError as error:
        if isinstance(error, WebhookVerificationError) and not error.from_caller:
            # The reason is only logged, because the response must not help anyone to forge deliveries.
            logger.warning("a webhook delivery was refused: %s", error)
            return JSONResponse({"detail": "Not a valid delivery"}, 401)
        logger.exception("a webhook delivery could not be handled; fal will repeat it")
        return JSONResponse({"detail": "Not handled"}, 503)
    status = 503 if receipt is Receipt.BUSY else 200
    return JSONResponse({"receipt": receipt.value}, status)


async def _limited_body(request: Request, limit: int) -> bytes | None:
    """Return the body; None if it is larger than `limit` bytes, and then its rest is not read."""
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > limit:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


# Errors.


async def fal_error_handler(_: Request, error: Exception) -> Response:
    """Return the JSON response for a FalError. It contains nothing about your API key, account or network.

    The error's message is logged as a warning, without a traceback. `exception_handlers` contains this handler.
    Cancelling is safe: it only builds the response.

    Args:
        _: The HTTP request. It is not used.
        error: The error.

    Raises:
        Exception: `error` itself, if it is not a FalError.
    """
    if not isinstance(error, FalError):
        raise error
    logger.warning("answered with an error: %s", error)
    answer = answer_to(error)
    return JSONResponse(dict(answer.body), answer.status, headers=dict(answer.headers))


async def client_gone_handler(_: Request, __: Exception) -> Response:
    """Return an empty response with status 499 for the ClientDisconnect that `while_connected` raises.

    The client never sees the response, because it has disconnected. `exception_handlers` contains this handler.
    Raises nothing; cancelling is safe.
    """
    return Response(status_code=CLIENT_GONE)


exception_handlers: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    FalError: fal_error_handler,
    ClientDisconnect: client_gone_handler,
}
"""Handlers of FalError and ClientDisconnect, for `Starlette(exception_handlers=...)` or the same of FastAPI."""
