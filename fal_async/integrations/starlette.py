"""fal in Starlette (and FastAPI) applications: lifespan, webhook route, relays to browsers, error answers."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

try:
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route
except ImportError as missing:
    raise ImportError(
        "fal_async.integrations.starlette needs Starlette: pip install 'fal-async[starlette]'"
    ) from missing

from fal_async.errors import ConfigurationError, FalError, SessionStateError, WebhookVerificationError
from fal_async.integrations.answers import answer_to
from fal_async.integrations.events import (
    KEEP_ALIVE,
    LastEvent,
    events_of_request,
    events_of_stream,
    last_event,
)
from fal_async.queue import RequestHandle
from fal_async.webhooks import Receipt, WebhookReceiver

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from fal_async.session import Session

logger = logging.getLogger("fal_async")
T = TypeVar("T")
Lifespan = Callable[[Any], contextlib.AbstractAsyncContextManager[Mapping[str, Any]]]
InnerLifespan = Callable[[Any], contextlib.AbstractAsyncContextManager[Mapping[str, Any] | None]]
Source = RequestHandle | AsyncIterable[Any]
CANCEL_LIMIT = 5.0
"""Seconds that the cancel of an abandoned request may take."""
_CLIENT_GONE = 499
"""nginx's code for a client that left; nobody gets to see it."""


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
        users: set[asyncio.Task[Any]] = set()
        async with _made(make_session) as session:
            app.state.fal, app.state.fal_users = session, users
            outcome = None if on_open is None else on_open(session)
            if inspect.isawaitable(outcome):
                await outcome
            async with contextlib.nullcontext() if inner is None else inner(app) as state:
                yield {**(state or {}), "fal": session, "fal_users": users}
            await _until_unused(users)

    return lifespan


async def _until_unused(users: set[asyncio.Task[Any]]) -> None:
    """A server that stops cancels its handlers just before: they get a moment to cancel their requests."""
    if users:
        await asyncio.wait(users, timeout=CANCEL_LIMIT)


def _made(make_session: Callable[[], Session] | None) -> Session:
    if make_session is not None:
        return make_session()
    from fal_async.session import Session

    return Session()


def get_session(request: Request) -> Session:
    """The process's session. SessionStateError where the application has no `fal_lifespan`."""
    # The lifespan's state reaches mounted applications, too, which have an `app.state` of their own.
    state, own = request.scope.get("state", {}), request.app.state
    session = state.get("fal") or getattr(own, "fal", None)
    if session is None:
        raise SessionStateError("the application has no open fal session: give it lifespan=fal_lifespan()")
    _note_user(state.get("fal_users", getattr(own, "fal_users", None)))
    return cast("Session", session)


def _note_user(users: set[asyncio.Task[Any]] | None) -> None:
    handler = asyncio.current_task()
    if users is not None and handler is not None and handler not in users:
        users.add(handler)
        handler.add_done_callback(users.discard)


# Browsers that leave.


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """The outcome of `work`; when the browser leaves first, `work` is cancelled and ClientDisconnect raised.

    A cancelled `fal.subscribe(...)` cancels its request on fal, so that nobody pays for what nobody sees.
    """
    await past_the_body(request)
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(disconnected(request.receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        finished = task.done()
        await end_tasks(task, gone)
    if not finished:
        raise ClientDisconnect
    return task.result()


async def past_the_body(request: Request) -> None:
    """What comes after the body can only be the disconnect. The body stays readable: Starlette keeps it."""
    with contextlib.suppress(RuntimeError):  # read already, as a form or piece by piece
        await request.body()


async def disconnected(receive: Receive) -> None:
    """Until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def end_tasks(*tasks: asyncio.Future[Any]) -> None:
    """Cancelled and waited for; what they raise stays with them."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


# Server-sent events.


async def sse_response(
    request: Request,
    source: Source | Callable[[], Source | Awaitable[Source]],
    *,
    resume: Callable[[str], Source | Awaitable[Source]] | None = None,
    logs: bool = True,
    cancel_on_disconnect: bool = True,
    keep_alive: float = 15.0,
) -> Response:
    """Relays a request or a stream to the browser as server-sent events (see `events.py` for their names).

    source                  a RequestHandle (updates, then the result), an `EventStream` or any async iterable
                            (each item a message), or a function (async or not) that gives one. What it raises
                            is raised here, before the answer begins
    resume                  gives the handle of a request that the browser followed before its connection broke,
                            from the request id in its `Last-Event-ID`. Without it a reconnecting browser starts,
                            and pays, anew. The id comes from the browser: check it where that matters.
                            It only makes sense with `cancel_on_disconnect=False`
    logs                    whether updates carry log lines
    cancel_on_disconnect    True: when the browser leaves, a request is cancelled on fal, a stream closed
    keep_alive              seconds between comments that keep idle connections open
    """
    seen = last_event(request.headers.get("last-event-id")) if resume is not None else None
    if seen is not None and seen.ended:
        return Response(status_code=204)  # tells EventSource to stop reconnecting
    found = await _source(source, resume, seen)
    return _EventsResponse(found, logs=logs, cancel_on_disconnect=cancel_on_disconnect, keep_alive=keep_alive)


async def _source(source: Any, resume: Callable[[str], Any] | None, seen: LastEvent | None) -> Source:
    if seen is not None and resume is not None:
        found = resume(seen.request_id)
    else:
        found = source() if callable(source) else source
    if inspect.isawaitable(found):
        found = await found
    if not isinstance(found, RequestHandle) and not hasattr(found, "__aiter__"):
        raise ConfigurationError(
            f"source is a {type(found).__name__}: expected a RequestHandle or an async iterable"
        )
    if isinstance(found, contextlib.AbstractAsyncContextManager):
        await found.__aenter__()  # a stream begins: an HTTP error is a plain answer then
    return cast("Source", found)


class _EventsResponse(StreamingResponse):
    def __init__(self, source: Source, *, logs: bool, cancel_on_disconnect: bool, keep_alive: float) -> None:
        self._source = source
        self._handle = source if isinstance(source, RequestHandle) else None
        events = (
            events_of_request(source, logs=logs)
            if isinstance(source, RequestHandle)
            else events_of_stream(source)
        )
        # A proxy that buffers would hold the events back.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, headers=headers, media_type="text/event-stream")
        self._events: AsyncGenerator[bytes, None] = events
        self._keep_alive = keep_alive
        self._cancel_on_disconnect = cancel_on_disconnect
        self._told_all = False

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        pump = asyncio.ensure_future(self._pump(send))
        gone = asyncio.ensure_future(disconnected(receive))
        finished = False
        try:
            await asyncio.wait((pump, gone), return_when=asyncio.FIRST_COMPLETED)
            finished = pump.done()
        finally:
            await end_tasks(pump, gone)
            if hasattr(self._source, "aclose"):
                await self._source.aclose()
            if not finished:
                await self._abandon()
        if finished:
            pump.result()
        if self.background is not None:
            await self.background()

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        turns = asyncio.Lock()

        async def write(data: bytes) -> None:
            async with turns:
                await send({"type": "http.response.body", "body": data, "more_body": True})

        keeper = asyncio.ensure_future(_keep_alive(write, self._keep_alive))
        try:
            async with contextlib.aclosing(self._events) as events:
                async for data in events:
                    await write(data)
            self._told_all = True
        finally:
            await end_tasks(keeper)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _abandon(self) -> None:
        """The browser left, or the server stops: nobody will look at the result."""
        if self._handle is None or self._told_all or not self._cancel_on_disconnect:
            return
        cancel = asyncio.ensure_future(self._handle.cancel())
        done, _ = await asyncio.wait((cancel,), timeout=CANCEL_LIMIT)
        if not done:
            await end_tasks(cancel)
        elif cancel.exception() is not None:
            logger.warning("an abandoned request could not be cancelled: %s", cancel.exception())


async def _keep_alive(write: Callable[[bytes], Awaitable[None]], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await write(KEEP_ALIVE)


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
    body = await _limited_body(request, receiver.verifier.max_body)
    if body is None:
        return JSONResponse({"detail": "Too large"}, 413)
    try:
        receipt = await receiver.receive(request.headers.raw, body, client=client)
    except WebhookVerificationError as error:
        # The reason is for the log: who forges deliveries learns nothing from the answer.
        logger.warning("a webhook delivery was refused: %s", error)
        return JSONResponse({"detail": "Not a valid delivery"}, 401)
    except FalError:
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
    """Maps our errors to HTTP answers that leak nothing (see `answers.py`); the whole story goes to the log."""
    if not isinstance(error, FalError):
        raise error
    logger.warning("answered with an error: %s", error)
    answer = answer_to(error)
    return JSONResponse(dict(answer.body), answer.status, headers=dict(answer.headers))


async def client_gone_handler(_: Request, __: Exception) -> Response:
    """For `while_connected`: an answer that nobody gets."""
    return Response(status_code=_CLIENT_GONE)


exception_handlers: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    FalError: fal_error_handler,
    ClientDisconnect: client_gone_handler,
}
"""For `Starlette(exception_handlers=...)` or `FastAPI(exception_handlers=...)`."""
