"""The interface through which the rest of the package uses the network. Importing it loads no HTTP library.

`AiohttpTransport` is the implementation that a session makes for itself. To write your own, derive a class from
`Transport`, define `send` (the only method that `subscribe` and the queue need), and pass it to
`Session(transport=...)`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from fal_async.config import RetryPolicy, Timeouts
from fal_async.errors import ConfigurationError
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.transport.progress import Progress


class OpenResponse(Protocol):
    """A response whose body is read in pieces.

    Attributes:
        status: the HTTP status.
        headers: the headers, names in lower case.
    """

    status: int
    headers: Mapping[str, str]

    @property
    def request_id(self) -> str | None:
        """The request id, from the headers; None if they have none."""
        ...

    def close(self) -> None:
        """Close the connection at once, without awaiting anything."""
        ...

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives, in pieces of any size.

        Raises:
            TransportError: the connection broke, or the server was silent for too long, before the body's end.
            SessionStateError: the session was closed.
        """
        ...


class WebSocket(Protocol):
    """An open WebSocket. One task at a time may receive. Pings of the peer are answered while a task receives."""

    async def send(self, data: bytes | str) -> None:
        """Send one frame. If this call is cancelled, the frame may or may not have been sent.

        Args:
            data: `bytes` for a binary frame, `str` for a text frame.

        Raises:
            TransportError: the frame was not sent.
        """
        ...

    async def receive(self) -> bytes | str:
        """Return the next message: `bytes` of a binary frame, `str` of a text frame.

        Cancelling this call is safe: no message is lost.

        Raises:
            Disconnected: the connection is closed; its code is 1006 if the connection broke.
        """
        ...

    async def close(self, code: int = 1000) -> None:
        """Close the connection with the closing handshake, which is limited in time.

        Raises nothing. If this call is cancelled, the connection is closed without the handshake.

        Args:
            code: the close code that the peer gets; default 1000, a normal closure.
        """
        ...


class Transport(Protocol):
    """Sends HTTP requests and opens WebSockets. Many tasks may call its methods at the same time.

    A method that a subclass does not define raises ConfigurationError when a call needs it.
    """

    async def send(
        self,
        request: HttpRequest,
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        accept: Collection[int] = (),
        check: Callable[[HttpResponse], None] | None = None,
        progress: Progress | None = None,
    ) -> HttpResponse:
        """Send `request`, retry it if that is safe, and return the whole response.

        If this call is cancelled, the connection is closed; `progress.sent` says whether fal may have received the
        request.

        Args:
            request: the HTTP request. `request.auth` says whether it is sent with the session's API key.
            timeouts: the limits of one attempt. None (default): the session's.
            retry: the retry policy. None (default): the session's.
            accept: statuses other than 2xx that are returned instead of raised; default: none.
            check: a function that is called with the response of each attempt. It rejects the response by raising a
                FalError, which may be retried. None (default): no check.
            progress: updated while the HTTP request is sent. None (default): not recorded.

        Returns:
            The response, its body read to the end.

        Raises:
            ApiError: fal answered with an error (see `error_of`).
            TransportError: no usable response arrived; if the request is paid, fal certainly did not accept it.
            SubmissionUncertainError: no usable response arrived, and fal may have accepted a paid request.
            SessionStateError: the session is closed, or belongs to another event loop.
        """
        raise _missing(self, "send")

    def open(
        self,
        request: HttpRequest,
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        silence: float | None = None,
    ) -> AbstractAsyncContextManager[OpenResponse]:
        """Open a response whose body is read in pieces. Only failures before the body begins are retried.

        Leaving the block closes the connection at once. The total time is not limited. Raises the errors that
        `send` raises.

        Args:
            request: the HTTP request.
            timeouts: their `first_byte` limits how long the server may be silent before the body begins. None
                (default): the session's.
            retry: the retry policy. None (default): the session's.
            silence: how long the server may be silent within the body, in seconds. None (default):
                `timeouts.first_byte`.

        Returns:
            A context manager of the open response.
        """
        raise _missing(self, "open")

    def pass_through(
        self, request: HttpRequest, *, timeouts: Timeouts | None = None
    ) -> AbstractAsyncContextManager[OpenResponse]:
        """Make one attempt and open its unchanged response, whose body is read in pieces. For a proxy.

        The request is not retried, redirects are not followed, and no status raises an error. The time limits are
        those of `open`. All passed-through requests together can use only a part of the pool's connections.

        Args:
            request: the HTTP request.
            timeouts: the limits of the attempt. None (default): the session's.

        Returns:
            A context manager of the open response.

        Raises:
            TransportError: no response arrived; if the request is paid, fal certainly did not accept it.
            SubmissionUncertainError: no response arrived, and fal may have accepted a paid request.
        """
        raise _missing(self, "pass_through")

    def websocket(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: bool = False,
        max_size: int = 0,
        heartbeat: float | None = None,
        connect_timeout: float | None = 10.0,
        endpoint_id: str | None = None,
    ) -> AbstractAsyncContextManager[WebSocket]:
        """Open a WebSocket. Leaving the block closes it.

        Args:
            url: the address, with its query.
            headers: headers of the handshake, besides the session's. None (default): no others.
            auth: whether the handshake is sent with the session's API key; default False.
            max_size: the size of the largest message that can be received, in bytes. 0 (default): no limit.
            heartbeat: seconds without any data from the peer after which a ping is sent. None (default): no pings.
            connect_timeout: seconds for the handshake; default 10. None: no limit.
            endpoint_id: the endpoint id that errors carry. None (default): errors name no endpoint.

        Returns:
            A context manager of the open WebSocket.

        Raises:
            ApiError: the server refused the handshake.
            TransportError: the server was not reached.
        """
        raise _missing(self, "websocket")


def _missing(transport: object, method: str) -> ConfigurationError:
    return ConfigurationError(
        f"{type(transport).__name__} has no {method}(), which this call needs: define it"
    )
