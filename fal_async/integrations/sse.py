"""Server-sent events as an answer: what comes of a request or a stream, for as long as the browser listens."""

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

Source = RequestHandle | AsyncIterable[Any]
_MEDIA_TYPE = "text/event-stream"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""The second one: a proxy that buffers would hold the events back."""
_UNREAD = 4
"""Keep-alives. So long may an event wait for a browser that reads nothing, once all buffers on the way are full."""


async def sse_response(
    request: Request,
    source: Source | Callable[[], Source | Awaitable[Source]],
    *,
    resume: Callable[[str], Source | Awaitable[Source]] | None = None,
    logs: bool = True,
    cancel_on_disconnect: bool | None = None,
    keep_alive: float = 15.0,
) -> Response:
    """Relays a request or a stream to the browser as server-sent events (their names: `sse_events.py`).

    source                  a RequestHandle (updates, then the result), an `EventStream` or any async iterable
                            (each item a message), or a function (async or not) that gives one. What it raises
                            is raised here, before the answer begins
    resume                  gives the handle of a request that the browser followed before its connection broke,
                            from the request id in its `Last-Event-ID`. Without it a reconnecting browser starts,
                            and pays, anew. The id comes from the browser: check it where that matters.
                            It only makes sense with `cancel_on_disconnect=False`
    logs                    whether updates carry log lines
    cancel_on_disconnect    True: when the browser leaves, a request is cancelled on fal, a stream closed. None
                            (default): so it is, but for a request with a key, which others may wait for
    keep_alive              seconds between comments that keep idle connections open. A browser that takes nothing
                            for four times as long counts as one that left

    A HEAD request gets the headers alone: `source` is not asked for, nothing is submitted.
    """
    if not keep_alive > 0:
        raise ConfigurationError(f"keep_alive={keep_alive!r}: expected seconds, more than 0")
    if request.method == "HEAD":  # Starlette sends it to each GET route
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
            f"source is a {type(found).__name__}: expected a RequestHandle or an async iterable"
        )
    if isinstance(found, contextlib.AbstractAsyncContextManager):
        await found.__aenter__()  # a stream begins: an HTTP error is a plain answer then
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
        self._told_all = False

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        relay = partial(self._relay, receive, send)
        with contextlib.suppress(ClientDisconnect):
            if self._handle is None or not self._cancel_on_disconnect:
                await relay()
            else:  # the browser leaves, the server stops, or the relay breaks: nobody will look at the result
                await while_waited_for(self._handle, relay)
        if self.background is not None:
            await self.background()

    async def _relay(self, receive: Receive, send: Send) -> None:
        """ClientDisconnect where the browser leaves before it was told all."""
        pump = asyncio.ensure_future(self._pump(send))
        try:
            finished = await finished_before(pump, disconnected(receive))
        finally:
            if hasattr(self._source, "aclose"):
                await self._source.aclose()
        if not self._told_all:
            if not finished:
                raise ClientDisconnect
            pump.result()

    async def _pump(self, server_send: Send) -> None:
        send = _telling_who_left(server_send, _UNREAD * self._keep_alive)
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


def _telling_who_left(send: Send, limit: float) -> Send:
    """Some servers say so by an OSError of `send` (ASGI 2.4), before `receive` does. Who reads nothing for `limit`
    seconds counts as one that left: he would hold a connection of the session's for as long as he likes."""

    async def told(message: MutableMapping[str, Any]) -> None:
        try:
            async with asyncio.timeout(limit):
                await send(message)
        except OSError as error:  # the time-out is one
            raise ClientDisconnect from error

    return told


async def _keep_alive(write: Callable[[bytes], Awaitable[None]], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await write(KEEP_ALIVE)
