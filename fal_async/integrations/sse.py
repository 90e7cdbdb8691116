"""Send the updates and the result of a request, or the items of a stream, to a browser as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, cast

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from fal_async.callbacks import awaited
from fal_async.errors import ConfigurationError
from fal_async.integrations.disconnect import disconnected, end_tasks, finished_before
from fal_async.integrations.sse_events import (
    KEEP_ALIVE,
    LastEvent,
    events_of_request,
    events_of_stream,
    last_event,
)
from fal_async.queue.handle import RequestHandle, kept_request, while_waited_for

Source = RequestHandle[Any] | AsyncIterable[Any]
"""What `sse_response` sends to the browser: a request's updates and result, or the items of a stream."""
_MEDIA_TYPE = "text/event-stream"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""With `X-Accel-Buffering: no`, a reverse proxy does not buffer, and so does not delay, the events."""
_UNREAD = 4
"""Multiple of `keep_alive` that one send may take. A longer send means that the browser reads nothing."""


async def sse_response(
    request: Request,
    source: Source | Callable[[], Source | Awaitable[Source]],
    *,
    resume: Callable[[str], Source | Awaitable[Source]] | None = None,
    logs: bool = True,
    cancel_on_disconnect: bool | None = None,
    keep_alive: float = 15.0,
) -> Response:
    """Make a response that sends a request's updates, or a stream's items, to the browser as server-sent events.

    For a request it sends `update` events (status, position, new log lines), then one `result` or `failed` event.
    For a stream it sends each item as a plain `message` event, then one `done` or `failed` event. All data is JSON.

    The response for a request begins with a block that has an `id:` and no `data:`. The browser dispatches no event
    for this block, but stores its id (WHATWG HTML 9.2.6). So `resume` is also called if the connection breaks
    before the first event.

    For a HEAD request, only the headers are sent: `source` is not called, and nothing is submitted. Cancelling is
    safe, but a request that `source` has already submitted still runs on fal.

    Args:
        request: The browser's HTTP request.
        source: A RequestHandle, an `EventStream` or any async iterable; or a function (async or not) that returns
            one of these. Errors of the function are raised here, before the response begins.
        resume: Called with a request id when the browser reconnects (with the header `Last-Event-ID`); returns the
            handle of that request; may be async. The id comes from the browser, so check that its user may see the
            request. Use it with `cancel_on_disconnect=False`. None (default): a browser that reconnects causes
            another call of `source`, which is billed again.
        logs: Whether updates contain log lines; default True.
        cancel_on_disconnect: Whether the request is cancelled on fal when the browser disconnects. None (default):
            True, but False for a request with a key, because other callers may wait for it. A stream is always
            closed.
        keep_alive: Seconds between the comments that keep an idle connection open. Default 15. A browser that reads
            nothing for four times as long is treated as disconnected.

    Returns:
        The response. If the browser reconnects after it has received the last event, the response has status 204,
        which stops its `EventSource`.

    Raises:
        ConfigurationError: If `keep_alive` is not positive, or `source` is neither a handle nor an async iterable.
        LedgerError: If the session's ledger can't be read.
        FalError: Whatever `source`, `resume` or the start of a stream raises.
    """
    if not keep_alive > 0:
        raise ConfigurationError(f"keep_alive={keep_alive!r}: expected seconds > 0")
    if request.method == "HEAD":  # Starlette passes it to every GET route
        return Response(headers=_HEADERS, media_type=_MEDIA_TYPE)
    seen = last_event(request.headers.get("last-event-id")) if resume is not None else None
    if seen is not None and seen.ended:
        return Response(status_code=204)  # tells EventSource to stop reconnecting
    found = await _source(source, resume, seen)
    events = (
        events_of_request(found, logs=logs, seen=seen)
        if isinstance(found, RequestHandle)
        else events_of_stream(found)
    )
    if cancel_on_disconnect is None:
        cancel_on_disconnect = not isinstance(found, RequestHandle) or await kept_request(found) is None
    return _EventsResponse(found, events, cancel_on_disconnect=cancel_on_disconnect, keep_alive=keep_alive)


async def _source(source: Any, resume: Callable[[str], Any] | None, seen: LastEvent | None) -> Source:
    if seen is not None and resume is not None:
        found = await awaited(resume(seen.request_id))
    else:
        found = await awaited(source() if callable(source) else source)
    if not isinstance(found, RequestHandle) and not hasattr(found, "__aiter__"):
        raise ConfigurationError(
            f"source is of type {type(found).__name__}: expected a RequestHandle or an async iterable"
        )
    if isinstance(found, contextlib.AbstractAsyncContextManager):
        await found.__aenter__()  # the stream starts here, so that its HTTP error becomes an error response
    return cast("Source", found)


class _EventsResponse(StreamingResponse):
    def __init__(
        self,
        source: Source,
        events: AsyncGenerator[bytes, None],
        *,
        cancel_on_disconnect: bool,
        keep_alive: float,
    ) -> None:
        self._source = source
        self._handle = source if isinstance(source, RequestHandle) else None
        super().__init__(events, headers=_HEADERS, media_type=_MEDIA_TYPE)
        self._events: AsyncGenerator[bytes, None] = events
        self._keep_alive = keep_alive
        self._cancel_on_disconnect = cancel_on_disconnect
        self._all_sent = False

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        relay = partial(self._relay, receive, send)
        with contextlib.suppress(ClientDisconnect):
            if self._handle is None or not self._cancel_on_disconnect:
                await relay()
            else:  # cancels the request on fal if the browser disconnects, the server stops or the relay fails
                await while_waited_for(self._handle, relay)
        if self.background is not None:
            await self.background()

    async def _relay(self, receive: Receive, send: Send) -> None:
        """Send the events. Raises ClientDisconnect if the browser disconnects before the last one."""
        pump = asyncio.ensure_future(self._pump(send))
        try:
            finished = await finished_before(pump, disconnected(receive))
        finally:
            if hasattr(self._source, "aclose"):
                await self._source.aclose()
        if not self._all_sent:
            if not finished:
                raise ClientDisconnect
            pump.result()

    async def _pump(self, server_send: Send) -> None:
        send = _raising_disconnects(server_send, _UNREAD * self._keep_alive)
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
            self._all_sent = True
        finally:
            await end_tasks(keeper)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _raising_disconnects(send: Send, limit: float) -> Send:
    """Wrap `send`, so that it raises ClientDisconnect if the browser has disconnected or reads nothing.

    Some servers report a disconnect by an OSError of `send` (ASGI 2.4), before `receive` reports it. A browser that
    reads nothing for `limit` seconds is treated as disconnected, because it would occupy one of the session's
    connections.
    """

    async def checked(message: MutableMapping[str, Any]) -> None:
        try:
            async with asyncio.timeout(limit):
                await send(message)
        except OSError as error:  # TimeoutError is a subclass
            raise ClientDisconnect from error

    return checked


async def _keep_alive(write: Callable[[bytes], Awaitable[None]], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await write(KEEP_ALIVE)
