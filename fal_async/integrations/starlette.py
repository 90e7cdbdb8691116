"""Use fal in Starlette (and FastAPI) applications: lifespan, idempotency keys, webhooks, relays, error answers."""

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


# One session per process.


def fal_lifespan(
    make_session: Callable[[], Session] | None = None,
    *,
    inner: InnerLifespan | None = None,
    on_open: Callable[[Session], Awaitable[None] | None] | None = None,
) -> Lifespan:
    """Make an ASGI lifespan that keeps one session open for the process. `get_session(request)` returns it.

    Args:
        make_session: Returns the session. None (default): `Session()`, configured by environment variables.
        inner: The application's own lifespan. It runs while the session is open, and finds it as `app.state.fal`.
            None (default): there is none.
        on_open: Called with the open session before the application starts, such as to attach a webhook receiver;
            may be async. None (default): nothing is called.

    Returns:
        The lifespan, for `Starlette(lifespan=...)` or `FastAPI(lifespan=...)`.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[dict[str, Any], None]:
        async with (make_session or Session)() as session:
            app.state.fal = session
            await call_back(on_open, session)
            async with contextlib.nullcontext() if inner is None else inner(app) as state:
                # A stopping server has cancelled its handlers before this: closing the session waits only until
                # their requests are cancelled at fal.
                yield {**(state or {}), "fal": session}

    return lifespan


def get_session(request: HTTPConnection) -> Session:
    """Return the session that `fal_lifespan` keeps open. It also works as a FastAPI dependency.

    Args:
        request: The request or WebSocket.

    Raises:
        SessionStateError: If the application has no `fal_lifespan`.
    """
    # The lifespan's state also reaches mounted applications, which have their own `app.state`.
    state, own = request.scope.get("state", {}), request.app.state
    session = state.get("fal") or getattr(own, "fal", None)
    if session is None:
        raise SessionStateError("the application has no open fal session: give it lifespan=fal_lifespan()")
    return cast("Session", session)


# Keys of calls.

Scope = str | Callable[[Request], object]
"""The `scope` of `idempotency_key`."""


@overload
def idempotency_key(
    *, scope: Scope, required: Literal[True] = True
) -> Callable[[Request], Awaitable[str]]: ...
@overload
def idempotency_key(*, scope: Scope, required: bool) -> Callable[[Request], Awaitable[str | None]]: ...
def idempotency_key(*, scope: Scope, required: bool = True) -> Callable[[Request], Awaitable[str | None]]:
    """Make a function that returns the `key=` for a request's call: `key = await order_key(request)`.

    The key is `"{scope}:{value}"`, with the value of the header `Idempotency-Key`: 1 to 255 printable ASCII
    characters. A missing or invalid header is answered with 400. If the key would be invalid, such as longer than
    255 characters, the SHA-256 of the value takes its place.

    Args:
        scope: Whose key it is: a function of the request (async or not) that returns the id of the signed-in user
            (`str`, `int` or `UUID`), or a `str` that all callers share. Without separate scopes, a caller who
            guesses another user's header would get that user's result. The function's result is checked for each
            request, and raises ConfigurationError if it is None or has another type.
        required: If False, the function returns None for a request without the header, which means a call without
            a key. Default True.

    Returns:
        An async function of the request, which raises `HTTPException` with status 400 for a bad header. Cancelling
        it is safe: it sends nothing.

    Raises:
        ConfigurationError: If `scope` is a `str` that can't be used: 1 to 128 printable characters are allowed.
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


# Browsers that leave.


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """Return the result of `work`, and cancel `work` if the client disconnects first.

    A cancelled `fal.subscribe(...)` cancels its request at fal, so that you don't pay for an unused result.
    Cancelling is safe: it cancels `work` and waits for its end.

    Args:
        request: The request whose client may disconnect. Its body is read first; `request.body()` still returns it.
        work: The awaitable, such as `fal.subscribe(...)`.

    Raises:
        ClientDisconnect: If the client disconnected before `work` was done. `client_gone_handler` answers it.
        Exception: Whatever `work` raises.
    """
    # The body is read before `work` starts: two concurrent readers would take parts of it from each other.
    try:
        await past_the_body(request)
    except ClientDisconnect:
        _drop(work)
        raise
    task = asyncio.ensure_future(work)
    if not await finished_before(task, disconnected(request.receive)):
        raise ClientDisconnect
    return task.result()


def _drop(work: Awaitable[Any]) -> None:
    if inspect.iscoroutine(work):
        work.close()
    elif isinstance(work, asyncio.Future):
        work.cancel()


async def past_the_body(request: Request) -> None:
    """Read the body, so that the next message can only be the disconnect. Starlette keeps the body for later."""
    with contextlib.suppress(RuntimeError):  # already read, as a form or a stream
        await request.body()


# Webhooks.


def peer_address(request: Request) -> str | None:
    """Return the IP address of the connection's peer; None if the server does not know it.

    Behind your own reverse proxy this is the proxy's address: pass `webhook_route` a function that reads the header
    which your proxy sets.

    Args:
        request: The request.
    """
    return None if request.client is None else request.client.host


def webhook_route(
    path: str,
    *,
    receiver: WebhookReceiver | None = None,
    client: Callable[[Request], str | None] = peer_address,
) -> Route:
    """Make a POST route that receives fal's webhook deliveries (protocol 8).

    It answers 200 for handled and repeated deliveries, 401 for one that fal did not send, 413 for a body that is
    too large, and 503 if the delivery could not be handled, so that fal repeats it.

    Args:
        path: The path of the route, such as "/fal/webhook".
        receiver: The receiver. None (default): the one attached to the session by `fal.webhooks.attach`.
        client: Returns the sender's IP address, needed if the receiver checks addresses. Default `peer_address`.

    Returns:
        The route. A request raises SessionStateError if no receiver is attached or the application has no
        `fal_lifespan`.
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
        receipt = await receiver.receive(request.headers.raw, body, client=client)
    except FalError as error:
        if isinstance(error, WebhookVerificationError) and not error.from_caller:
            # The reason is only logged: the answer must not help anyone to forge deliveries.
            logger.warning("a webhook delivery was refused: %s", error)
            return JSONResponse({"detail": "Not a valid delivery"}, 401)
        logger.exception("a webhook delivery could not be handled; fal will repeat it")
        return JSONResponse({"detail": "Not handled"}, 503)
    status = 503 if receipt is Receipt.BUSY else 200
    return JSONResponse({"receipt": receipt.value}, status)


async def _limited_body(request: Request, limit: int) -> bytes | None:
    """Return the body; None if it is larger than `limit` bytes, without reading the rest."""
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
    """Return the JSON response for a FalError, which tells the caller nothing about your key, account or network.

    The full error is logged. For `exception_handlers`. Cancelling is safe: it only builds the response.

    Args:
        _: The request.
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
    """Return an empty response with status 499 for ClientDisconnect, as `while_connected` raises it.

    The client never sees it. Raises nothing; cancelling is safe.
    """
    return Response(status_code=CLIENT_GONE)


exception_handlers: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    FalError: fal_error_handler,
    ClientDisconnect: client_gone_handler,
}
"""For `Starlette(exception_handlers=...)` or `FastAPI(exception_handlers=...)`."""
