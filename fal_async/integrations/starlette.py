"""fal in Starlette (and FastAPI) applications: lifespan, keys of calls, webhook route, relays, error answers."""

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
InnerLifespan = Callable[[Any], contextlib.AbstractAsyncContextManager[Mapping[str, Any] | None]]


# One session per process.


def fal_lifespan(
    make_session: Callable[[], Session] | None = None,
    *,
    inner: InnerLifespan | None = None,
    on_open: Callable[[Session], Awaitable[None] | None] | None = None,
) -> Lifespan:
    """A lifespan that opens one session for the process: `get_session(request)` gives it.

    make_session    gives the session; default `Session()`, set up by the environment
    inner           the application's own lifespan, entered after the session is open and left before it closes;
                    it finds the session as `app.state.fal`
    on_open         called (async or not) with the open session, such as to attach a webhook receiver
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[dict[str, Any], None]:
        async with (make_session or Session)() as session:
            app.state.fal = session
            await call_back(on_open, session)
            async with contextlib.nullcontext() if inner is None else inner(app) as state:
                # A server that stops has cancelled its handlers just before: closing the session waits for their
                # requests to be cancelled, and for nothing else of them.
                yield {**(state or {}), "fal": session}

    return lifespan


def get_session(request: HTTPConnection) -> Session:
    """The process's session, from a request or a WebSocket. In FastAPI a dependency as well.

    SessionStateError where the application has no `fal_lifespan`.
    """
    # The lifespan's state reaches mounted applications, too, which have an `app.state` of their own.
    state, own = request.scope.get("state", {}), request.app.state
    session = state.get("fal") or getattr(own, "fal", None)
    if session is None:
        raise SessionStateError("the application has no open fal session: give it lifespan=fal_lifespan()")
    return cast("Session", session)


# Keys of calls.

Scope = str | Callable[[Request], object]


@overload
def idempotency_key(
    *, scope: Scope, required: Literal[True] = True
) -> Callable[[Request], Awaitable[str]]: ...
@overload
def idempotency_key(*, scope: Scope, required: bool) -> Callable[[Request], Awaitable[str | None]]: ...
def idempotency_key(*, scope: Scope, required: bool = True) -> Callable[[Request], Awaitable[str | None]]:
    """A function of the request that gives the `key=` of its call: `key = await order_key(request)`.

    It is `"{scope}:{value}"`, with the value of the header `Idempotency-Key` (1-255 printable ASCII characters;
    anything else, and a missing header, is answered with 400). Where that is no possible key, such as one of more
    than 255 characters, the value stands there as its SHA-256.

    scope       whose key it is: a function, async or not, of the request that gives the id of who signed in
                (str, int or UUID); or a text, the same for all callers. Without it, who guesses another one's
                header would get that one's result. What it gives is checked for each request: None is a
                ConfigurationError
    required    False: without the header, None, a call without a key
    """
    if not callable(scope):
        scope_text(scope)  # what is wrong with a text is told at once

    async def key_of(request: Request) -> str | None:
        value = header_value(request, required=required)
        if value is None:
            return None
        whose = scope(request) if callable(scope) else scope
        return scoped_key(await whose if inspect.isawaitable(whose) else whose, value)

    return key_of


def header_value(request: HTTPConnection, *, required: bool) -> str | None:
    """HTTPException with status 400 where it can't be used."""
    try:
        return read_header(request.headers.getlist(HEADER), required=required)
    except BadIdempotencyKey as error:
        raise HTTPException(400, str(error)) from None


# Browsers that leave.


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """The outcome of `work`; when the browser leaves first, `work` is cancelled and ClientDisconnect raised.

    A cancelled `fal.subscribe(...)` cancels its request on fal, so that nobody pays for what nobody sees.
    """
    # Read before `work` begins: two readers would take the body from each other.
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
    """What comes after the body can only be the disconnect. The body stays readable: Starlette keeps it."""
    with contextlib.suppress(RuntimeError):  # read already, as a form or piece by piece
        await request.body()


# Webhooks.


def peer_address(request: Request) -> str | None:
    """Of the connection itself. Behind a proxy of your own, pass a function that reads what that proxy says."""
    return None if request.client is None else request.client.host


def webhook_route(
    path: str,
    *,
    receiver: WebhookReceiver | None = None,
    client: Callable[[Request], str | None] = peer_address,
) -> Route:
    """A POST route that takes fal's deliveries. `receiver`: default the one attached to the session."""

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
            # The reason is for the log: who forges deliveries learns nothing from the answer.
            logger.warning("a webhook delivery was refused: %s", error)
            return JSONResponse({"detail": "Not a valid delivery"}, 401)
        logger.exception("a webhook delivery could not be handled; fal will repeat it")
        return JSONResponse({"detail": "Not handled"}, 503)
    status = 503 if receipt is Receipt.BUSY else 200
    return JSONResponse({"receipt": receipt.value}, status)


async def _limited_body(request: Request, limit: int) -> bytes | None:
    """None: it is larger; what is over the limit is not read."""
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
    """Maps our errors to answers that leak nothing (see `error_answers.py`); the whole story goes to the log."""
    if not isinstance(error, FalError):
        raise error
    logger.warning("answered with an error: %s", error)
    answer = answer_to(error)
    return JSONResponse(dict(answer.body), answer.status, headers=dict(answer.headers))


async def client_gone_handler(_: Request, __: Exception) -> Response:
    """For `while_connected`: an answer that nobody gets."""
    return Response(status_code=CLIENT_GONE)


exception_handlers: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    FalError: fal_error_handler,
    ClientDisconnect: client_gone_handler,
}
"""For `Starlette(exception_handlers=...)` or `FastAPI(exception_handlers=...)`."""
