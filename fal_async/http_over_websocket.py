"""HTTP over WebSocket: several direct calls over one connection (protocol 5.2). fal calls it experimental.

Citations such as (protocol 4.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import Any, Generic, overload

from fal_async.closeable import Closeable
from fal_async.config import Settings
from fal_async.errors import (
    RealtimeError,
    RequestRef,
    SessionStateError,
    StreamError,
    TransportError,
    short_tracebacks,
    shortened,
)
from fal_async.models import Files, In, Result, T, T_co, WorkflowFailure
from fal_async.protocol.api_errors import error_of
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.http import REQUEST_ID, HttpRequest, HttpResponse, Operation, decode_json
from fal_async.protocol.http_over_websocket import Body, End, Exchange, Start, websocket_url
from fal_async.protocol.json_input import encode_json
from fal_async.protocol.realtime import BROKEN, Disconnected, close_words
from fal_async.protocol.results import parse_result
from fal_async.protocol.sse import SSEDecoder
from fal_async.protocol.streaming import (
    BodyKind,
    Meaning,
    body_kind,
    error_detail,
    error_message,
    failure_message,
    is_workflow,
    meaning_of,
    workflow_event,
)
from fal_async.protocol.structure import check_output_type
from fal_async.transport import Transport, WebSocket

_OPEN_TIMEOUT = 90.0
"""Seconds for the handshake, which may wait for a runner."""
_HEARTBEAT = 20.0
"""Seconds of silence after which a ping is sent."""


@short_tracebacks
class HttpOverWebSocket(Generic[In, T_co]):
    """One connection for several calls of one endpoint (protocol 5.2). `fal.websocket(...)` returns it.

        async with fal.websocket("fal-ai/any-llm") as calls:
            result = await calls.run({"prompt": "one"})

            await calls.send({"prompt": "two"})
            await calls.send({"prompt": "three"})
            two, three = await calls.recv(), await calls.recv()

    Responses arrive in the order of the inputs. Only one task at a time may receive. The interface is experimental:
    fal may change it. If the connection is lost, no other one is opened, because fal may be working on inputs that
    were sent, and bill them.

    Entering the block opens the connection. It raises ApiError if fal refuses the handshake, and TransportError if
    fal is not reached. If it is cancelled, no connection stays open. After closing, the same object can be entered
    again.

    Attributes:
        endpoint_id: the endpoint, with its path.
        unanswered: the number of inputs that were sent and whose responses were not received yet.
    """

    def __init__(
        self,
        transport: Transport,
        settings: Settings,
        *,
        endpoint: EndpointId,
        headers: Mapping[str, str],
        connections: weakref.WeakSet[Closeable],
        files: Files,
    ) -> None:
        self._transport, self._settings = transport, settings
        self._endpoint, self._headers = endpoint, headers
        self._connections, self._files = connections, files
        self._exits = contextlib.AsyncExitStack()
        self._socket: WebSocket | None = None
        self._answer: _Answer | None = None
        self._receiving = False
        self.endpoint_id: str = endpoint.full
        self.unanswered: int = 0

    async def __aenter__(self) -> HttpOverWebSocket[In, T_co]:
        opening = self._transport.websocket(
            websocket_url(self._settings, self._endpoint),
            headers=self._headers,
            auth=True,
            max_size=self._settings.max_answer,
            heartbeat=_HEARTBEAT,
            connect_timeout=_OPEN_TIMEOUT,
            endpoint_id=self.endpoint_id,
        )
        self._socket = await self._exits.enter_async_context(opening)
        self._answer, self.unanswered = None, 0
        self._connections.add(self)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection. Responses that were not received are lost.

        Closing waits up to 2 seconds for fal. Closing twice does nothing. Cancelling is safe. Raises nothing.
        """
        self._socket = None
        await self._exits.aclose()

    @overload
    async def run(self, input: In | None = None, *, output_type: None = None) -> Result[T_co]: ...

    @overload
    async def run(self, input: In | None = None, *, output_type: type[T]) -> Result[T]: ...

    async def run(self, input: In | None = None, *, output_type: type[Any] | None = None) -> Result[Any]:
        """Send one input and return its result.

        If it is cancelled after the input was sent, fal still works on the input, and its response is the next one
        to receive.

        Args:
            input: the model's input, as for `fal.run`. Files in it are uploaded first. None (default): an empty
                input.
            output_type: the type that `data` is built as; see `Session.run`. None (default): that of the
                `Endpoint` of the connection, else decoded JSON.

        Returns:
            The result.

        Raises:
            RealtimeError: earlier responses must be received first; or as described for `recv`.
            ConfigurationError: the input can't be encoded, or `output_type` can't be built.
            ApiError, ResponseDecodeError, SessionStateError: as described for `recv`.
            UploadError: a file of the input could not be uploaded.
        """
        self._built_as(output_type)
        await self._skip_abandoned_answer()
        if self.unanswered:
            raise RealtimeError(f"{self.unanswered} earlier response(s) come first: receive them with recv()")
        await self.send(input)
        result: Result[Any] = await self.recv(output_type=output_type)
        return result

    async def send(self, input: In | None = None) -> None:
        """Send one input, without waiting for its response.

        If it is cancelled during an upload, the input was not sent. If it is cancelled later, the input may have
        been sent.

        Args:
            input: the model's input, as for `fal.run`. Files in it are uploaded first. None (default): an empty
                input.

        Raises:
            ConfigurationError: the input can't be encoded.
            UploadError: a file of the input could not be uploaded.
            RealtimeError: the connection is lost.
            SessionStateError: the connection is not open.
        """
        self._endpoint.check_input(input)
        data = encode_json(await self._files.with_urls(input))
        socket = self._open_socket()
        self.unanswered += 1
        try:
            await socket.send(data.decode())
        except TransportError as error:
            self.unanswered -= 1
            raise self._lost(BROKEN, "") from error

    @overload
    async def recv(self, *, output_type: None = None) -> Result[T_co]: ...

    @overload
    async def recv(self, *, output_type: type[T]) -> Result[T]: ...

    async def recv(self, *, output_type: type[Any] | None = None) -> Result[Any]:
        """Receive the whole response to the oldest input that has none yet.

        Cancelling is safe: the next `recv` continues with the same response.

        Args:
            output_type: the type that `data` is built as; see `Session.run`. None (default): that of the
                `Endpoint` of the connection, else decoded JSON.

        Returns:
            The result.

        Raises:
            ApiError: the input was refused, or the model failed. The connection can still be used.
            RealtimeError: the connection was lost before the response was complete, the response is larger than
                `max_answer` or malformed, or every input has its response.
            ResponseDecodeError: the response can't be decoded, or does not match `output_type`.
            ConfigurationError: `output_type` can't be built.
            SessionStateError: the connection is not open, or another task is receiving.
        """
        output_type = self._built_as(output_type)
        answer = await self._next_answer()
        while not isinstance(await self._part(answer), End):
            pass
        response = self._response(answer)
        ref = RequestRef(endpoint_id=self.endpoint_id, request_id=response.request_id)
        return parse_result(response, output_type, ref, attempts={"websocket": 1}, files=self._files)

    def _built_as(self, explicit: Any) -> Any:
        """Return the type to build from the output. Raise ConfigurationError if it can't be built."""
        output_type = self._endpoint.output_type(explicit)
        check_output_type(output_type)
        return output_type

    async def stream(self) -> AsyncGenerator[Any, None]:
        """Receive the next response in pieces: values if it is an event stream, else chunks of bytes.

        If you leave the loop early, or cancel it, the next call that receives skips the rest of this response.

        Yields:
            The decoded JSON of each event, of a workflow its events as of `EventStream`, or `bytes`.

        Raises:
            StreamError: the model sent an error event, an event can't be decoded, or an event is incomplete.
            ApiError, RealtimeError, SessionStateError: as described for `recv`.
        """
        with shortened():
            answer = await self._next_answer()
            answer.streamed = True
            decoder = SSEDecoder()
            part: Start | Body | End = Body(bytes(answer.body))  # received by a cancelled `recv`
            while not isinstance(part, End):
                start = answer.start
                if start is not None and start.status < 300 and isinstance(part, Body) and part.data:
                    answer.body.clear()
                    if body_kind(start.headers) is not BodyKind.EVENTS:
                        yield part.data
                    else:
                        for event in decoder.feed(part.data):
                            if (meaning := meaning_of(event)) in (Meaning.VALUE, Meaning.ERROR):
                                yield self._value(start, event.data, meaning)
                part = await self._part(answer)
            response = self._response(answer)
            if decoder.incomplete:
                raise StreamError(
                    "the stream ended in the middle of an event",
                    request_id=response.request_id,
                    endpoint_id=self.endpoint_id,
                )

    def _value(self, start: Start, data: str, meaning: Meaning) -> Any:
        names: dict[str, Any] = {"request_id": start.request_id, "endpoint_id": self.endpoint_id}
        if meaning is Meaning.ERROR:
            detail = error_detail(data)
            raise StreamError(error_message(detail), reason="error", detail=detail, **names)
        try:
            value = decode_json(data)
        except ValueError as error:
            raise StreamError("an event is not JSON", reason="undecodable", **names) from error
        event = workflow_event(value) if is_workflow(self.endpoint_id) else value
        if isinstance(event, WorkflowFailure):
            raise StreamError(failure_message(event), reason="error", detail=event, **names)
        return event

    async def _next_answer(self) -> _Answer:
        """Return a new `_Answer`, or the one that a cancelled `recv` has received in part."""
        await self._skip_abandoned_answer()
        if not self.unanswered:
            raise RealtimeError("no input waits for a response: call send() first")
        self._answer = self._answer or _Answer()
        return self._answer

    async def _skip_abandoned_answer(self) -> None:
        while self._answer is not None and self._answer.streamed:
            await self._part(self._answer)
            if self._answer is not None:
                self._answer.body.clear()

    async def _part(self, answer: _Answer) -> Start | Body | End:
        """Receive the next frame of this response, and add it to `answer`."""
        if self._receiving:
            raise SessionStateError("another task is receiving from this connection: only one can")
        if self._answer is not answer:
            raise RealtimeError(
                "the rest of this response was skipped, because another response was received"
            )
        self._receiving = True
        try:
            part = answer.take(await self._open_socket().receive())
        except Disconnected as end:
            raise self._lost(end.code, end.reason) from None
        finally:
            self._receiving = False
        if len(answer.body) > self._settings.max_answer:
            await self.aclose()
            words = (
                f"the response has more than {self._settings.max_answer} bytes: raise Session(max_answer=...)"
            )
            raise RealtimeError(words, endpoint_id=self.endpoint_id)
        if isinstance(part, End):
            self._answer = None
            self.unanswered -= 1
        return part

    def _response(self, answer: _Answer) -> HttpResponse:
        """Return the complete response as an `HttpResponse`. Raise ApiError unless its status is 2xx."""
        start = answer.start
        if start is None:
            raise RealtimeError(
                "the end of a response arrived before its beginning", endpoint_id=self.endpoint_id
            )
        headers = {REQUEST_ID: start.request_id, **start.headers}
        response = HttpResponse(status=start.status, headers=headers, body=bytes(answer.body))
        if 200 <= start.status < 300:
            return response
        request = HttpRequest(
            operation=Operation.RUN,
            method="POST",
            url=self.endpoint_id,
            ref=RequestRef(endpoint_id=self.endpoint_id),
        )
        raise error_of(request, response, time.time())

    def _open_socket(self) -> WebSocket:
        if self._socket is None:
            raise SessionStateError("the connection is not open: `async with fal.websocket(...) as calls:`")
        return self._socket

    def _lost(self, code: int, reason: str) -> RealtimeError:
        words = close_words(code, reason, "WebSocket")
        return RealtimeError(
            f"{words}, with {self.unanswered} response(s) outstanding",
            code=code,
            reason=reason,
            endpoint_id=self.endpoint_id,
        )


class _Answer:
    """The received part of one response. `streamed`: whether its values are yielded as they arrive, not kept."""

    def __init__(self) -> None:
        self._exchange = Exchange()
        self.start: Start | None = None
        self.body = bytearray()
        self.streamed = False

    def take(self, frame: str | bytes) -> Start | Body | End:
        part = self._exchange.take(frame)
        if isinstance(part, Start):
            self.start = part
        elif isinstance(part, Body):
            self.body += part.data
        return part
