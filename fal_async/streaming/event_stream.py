"""`EventStream`: a model's events as they arrive, one connection per stream (protocol 5.1).

Citations such as (protocol 4.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Generic

import attrs

from fal_async.config import RetryPolicy, Settings
from fal_async.errors import (
    FalError,
    ResponseDecodeError,
    SessionStateError,
    StreamError,
    short_tracebacks,
    shorten,
    shortened,
)
from fal_async.models import T, WorkflowFailure, WorkflowOutput
from fal_async.protocol.http import HttpRequest, decode_json
from fal_async.protocol.sse import ServerSentEvent
from fal_async.protocol.streaming import (
    MARKS,
    BodyKind,
    Kept,
    Meaning,
    body_kind,
    check_idle_timeout,
    error_detail,
    error_message,
    failure_message,
    is_result,
    is_workflow,
    meaning_of,
    raw_decode,
    workflow_event,
)
from fal_async.protocol.structure import structure
from fal_async.streaming.source import Item, SourceFailure, StreamSource
from fal_async.transport import Transport

RawItem = ServerSentEvent | bytes
_NOTHING: Any = object()
"""The last value before the first one."""
_ONE_READER = "another task is reading this stream: only one task can"


@attrs.frozen(kw_only=True)
class Beginning:
    """The arguments of a stream when it opens its connection.

    Attributes:
        transport: sends the request.
        settings: the session's settings.
        request: the HTTP request.
        output_type: the type that values are built as. None (default): decoded JSON, or bytes.
        idle_timeout: seconds without any bytes after which the stream fails; None (default): 300.
        retry: the retry policy until the response begins. None (default): the session's.
    """

    transport: Transport
    settings: Settings
    request: HttpRequest
    output_type: Any = None
    idle_timeout: float = attrs.field(default=None, converter=check_idle_timeout)
    retry: RetryPolicy | None = None


Begin = Callable[[], Awaitable[Beginning]]


@short_tracebacks
class EventStream(Generic[T]):
    """The values that a model sends while it works, as `fal.stream(...)` returns them.

    The request is sent when you first iterate, enter the block or call `last`.

        async for event in fal.stream("fal-ai/any-llm", {"prompt": "..."}): ...

        async with fal.stream(...) as stream:       # HTTP errors are raised here
            print(stream.request_id)
            async for event in stream: ...

    A value is decoded JSON, or an `output_type` that is built from it. If the model does not send events, each
    value is a chunk of bytes. Empty events are skipped, and `[DONE]` ends the stream. An event of type `error`
    raises `StreamError`, whose `detail` has its data.

    The values of a workflow (`workflows/...`) are `WorkflowSubmit`, `WorkflowCompletion` and `WorkflowOutput`;
    events of other types are decoded JSON. `last` returns the output itself, and `output_type` is its type. A
    failed step raises `StreamError`, whose `detail` is a `WorkflowFailure` with the step's status and body
    (protocol 15.2).

    Leaving the loop or the block closes the connection at once, and so does cancelling a task that waits for a
    value. Most models then stop working. A stream can't be resumed, and the request is not sent again once the
    response has begun. Only one task at a time may read.

    Attributes:
        endpoint_id: the endpoint, with its path; None until the response begins.
        request_id: fal's id of the request; None until the response begins, or if the response has none.
        headers: the response's headers, names in lower case; empty until the response begins.

    Raises:
        ApiError: fal answered with an error status. This error and the following ones are raised while iterating,
            by `async with`, or by `last`.
        StreamError: the connection broke, nothing arrived for `idle_timeout` seconds, or an event can't be decoded.
            `received` has the values that arrived before. Also if the stream is used again after a wait for a value
            was cancelled.
        SubmissionUncertainError: no response arrived, and fal may have accepted the request.
        TransportError: no response arrived, and fal certainly did not accept the request.
        SessionStateError: another task is reading, or the session is closed.
    """

    def __init__(self, begin: Begin) -> None:
        self.begin = begin
        self._output_type: Any = None
        self._exits = contextlib.AsyncExitStack()
        self._source: StreamSource | None = None
        self._opening = self._closed = self._in_block = self._is_plain = False
        self._ended = False  # whether the model ended the stream normally
        self._cancelled = False  # whether a task was cancelled while it waited for a value
        self._failure: FalError | None = None
        self._kept = Kept()
        self._last: Any = _NOTHING
        self.endpoint_id: str | None = None
        self.request_id: str | None = None
        self.headers: dict[str, str] = {}

    async def __aenter__(self) -> EventStream[T]:
        self._in_block = True
        await self._opened()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[T]:
        return _Iteration(self, self._next_value)

    def raw(self) -> AsyncIterator[RawItem]:
        """Return an iterator over the undecoded events, including empty events, `[DONE]` and error events.

        If the model does not send events, it yields the chunks of bytes.
        """
        return _Iteration(self, self._next_raw)

    async def last(self) -> T:
        """Read the stream to its end and return the last value, which is the result (protocol 5.1).

        Values may have been read before. Cancelling this call closes the stream, so that its result is lost.

        Returns:
            The last value, even if it was read before; for a workflow its output.

        Raises:
            StreamError: the stream ended without a value (of a workflow without its output), failed, or was closed
                before its end.
            ApiError, TransportError, SubmissionUncertainError, SessionStateError: as described for the class.
        """
        try:
            with contextlib.suppress(StopAsyncIteration):
                while True:
                    await self._next_value()
        finally:
            await self.aclose()
        if not self._ended:
            raise self._failure or self._left()
        if self._last is _NOTHING:
            what = "its output" if is_workflow(self.endpoint_id) else "a value"
            raise self._error(f"the stream ended without {what}", "empty")
        value: T = self._last
        return value

    async def aclose(self) -> None:
        """Close the connection. Closing twice, or before the connection was opened, is allowed.

        Raises nothing. Cancelling this call is safe: the connection is closed at once.
        """
        self._closed = True
        if self._source is not None:
            await self._source.aclose()
        await self._exits.aclose()

    def abandon(self) -> None:
        """Close the connection without awaiting, when an iteration is left. aiohttp cleans up afterwards."""
        if self._in_block or self._closed:
            return
        self._closed = True
        if self._source is not None:
            self._source.close()
            self._source = None
        self._exits = contextlib.AsyncExitStack()

    async def _opened(self) -> StreamSource | None:
        """Return the source of the values, opened if necessary; None if the stream was closed before."""
        if self._source is None and not self._closed:
            if self._opening:
                raise SessionStateError(_ONE_READER)  # opening again would send, and bill, a second request
            self._opening = True
            try:
                self._source = await self._open()
            except BaseException as error:
                self._cancelled = isinstance(error, asyncio.CancelledError)
                self._failure = error if isinstance(error, FalError) else None
                await self.aclose()
                raise
        return self._source

    async def _open(self) -> StreamSource:
        made = await self.begin()
        self.endpoint_id, self._output_type = made.request.endpoint_id, made.output_type
        self._is_plain = made.output_type is None and not is_workflow(self.endpoint_id)
        # Like a direct call, the request may wait for a runner before the response begins.
        patient = attrs.evolve(made.settings.timeouts, first_byte=made.settings.timeouts.run)
        opening = made.transport.open(made.request, timeouts=patient, retry=made.retry)
        response = await self._exits.enter_async_context(opening)
        self.headers, self.request_id = dict(response.headers), response.request_id
        kind = body_kind(self.headers)
        if kind is BodyKind.PAGE:
            raise self._error("the response is an HTML page, not a stream: does a gateway answer for fal?")
        return StreamSource(response, kind, made.idle_timeout, self._kept, made.settings.max_answer)

    async def _next_raw(self) -> RawItem:
        with shortened():
            item = await self._next_item()
        return ServerSentEvent(data=item) if isinstance(item, str) else item

    async def _next_item(self) -> Item:
        source = await self._opened()
        if source is None or self._closed:
            if self._cancelled:
                raise self._left()
            raise StopAsyncIteration
        if source.waited_for:
            raise SessionStateError(_ONE_READER)
        try:
            item = await source.next()
        except SourceFailure as fault:
            await self.aclose()
            raise self._error(fault.message, fault.reason) from fault.__cause__
        except BaseException as error:
            source.close()
            self._closed, self._cancelled = True, isinstance(error, asyncio.CancelledError)
            self._failure = error if isinstance(error, FalError) else None
            await self.aclose()
            raise
        if item is None:
            self._ended = True
            await self.aclose()
            raise StopAsyncIteration
        return item

    async def _next_value(self) -> T:
        try:
            while True:
                value: Any
                ready = () if self._source is None else self._source.ready
                item = ready.popleft() if ready else await self._next_item()
                if type(item) is str and self._is_plain and item not in MARKS:
                    # The fast path for nearly all events, because a stream may have 100,000 of them.
                    try:
                        value, end = raw_decode(item)
                    except (ValueError, RecursionError):  # not JSON, or white space: the slow path decides
                        end = -1
                    if end == len(item):
                        self._kept.add(item)
                        self._last = value
                        return value  # type: ignore[no-any-return]
                if isinstance(item, bytes):
                    value = await self._decoded(item)
                else:
                    data = item if isinstance(item, str) else item.data
                    meaning = meaning_of(item)
                    if meaning is Meaning.SKIP:
                        continue
                    if meaning is not Meaning.VALUE:
                        await self._end(meaning, data)
                    value, item = await self._decoded(data), data
                self._kept.add(item)
                if not is_workflow(self.endpoint_id) or is_result(value):
                    self._last = value
                elif isinstance(value, WorkflowOutput):
                    self._last = value.output
                return value  # type: ignore[no-any-return]
        except FalError as error:
            shorten(error)
            raise

    async def _end(self, meaning: Meaning, data: str | bytes) -> None:
        """Close the stream after an event that ends it. Always raises: StreamError, or StopAsyncIteration."""
        await self.aclose()
        if meaning is Meaning.ERROR:
            detail = error_detail(data)
            raise self._error(error_message(detail), "error", detail)
        self._ended = True
        raise StopAsyncIteration

    async def _decoded(self, data: str | bytes) -> Any:
        try:
            value = data if isinstance(data, bytes) else decode_json(data)
            if is_workflow(self.endpoint_id):
                return await self._event(workflow_event(value))
            return self._built(value)
        except (ValueError, ResponseDecodeError) as error:
            await self.aclose()
            message = error if isinstance(error, ResponseDecodeError) else "an event is not JSON"
            raise self._error(message, "undecodable") from error

    async def _event(self, event: Any) -> Any:
        """Return the event of a workflow with its output built. Raise StreamError for a failed step."""
        if isinstance(event, WorkflowFailure):
            await self.aclose()
            raise self._error(failure_message(event), "error", event)
        if isinstance(event, WorkflowOutput):
            return attrs.evolve(event, output=self._built(event.output))
        return self._built(event) if is_result(event) else event

    def _built(self, value: Any) -> Any:
        return value if self._output_type is None else structure(value, self._output_type)

    def _left(self) -> StreamError:
        what = "a cancelled wait closed the stream" if self._cancelled else "the stream was closed"
        return self._error(f"{what} before its end: its last value is not known", "cut")

    def _error(self, message: object, reason: str = "undecodable", detail: Any = None) -> StreamError:
        self._failure = error = StreamError(
            message,
            reason=reason,
            received=self._kept.values(),
            count=self._kept.count,
            detail=detail,
            request_id=self.request_id,
            endpoint_id=self.endpoint_id,
        )
        return error


class _Iteration(AsyncIterator[Any]):
    """The iterator of one `async for`. It closes the connection when the loop is left.

    Only the loop refers to this iterator, so that Python deletes it, and thereby closes the connection, at once.
    The stream itself could still be referred to by the caller, and the `finally` of a generator would run later.
    """

    def __init__(self, stream: EventStream[Any], following: Callable[[], Awaitable[Any]]) -> None:
        self._stream, self._following = stream, following

    def __anext__(self) -> Awaitable[Any]:
        return self._following()

    def __del__(self) -> None:
        # When the interpreter exits, there may be no event loop left.
        with contextlib.suppress(RuntimeError):
            self._stream.abandon()
