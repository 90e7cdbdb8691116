"""The seam to the network: what the rest of the package needs of it. Importing it loads no HTTP library.

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
            TransportError: the body broke off or stalled.
            SessionStateError: the session was closed.
        """
        ...


class WebSocket(Protocol):
    """An open WebSocket. Only one task may receive; pings are answered while it does."""

    async def send(self, data: bytes | str) -> None:
        """Send one frame. If it is cancelled, the frame may have been sent.

        Args:
            data: `bytes` for a binary frame, `str` for a text frame.

        Raises:
            TransportError: the frame was not sent.
        """
        ...

    async def receive(self) -> bytes | str:
        """Return the next message: `bytes` of a binary frame, `str` of a text frame. Cancelling it is safe.

        Raises:
            Disconnected: the connection is closed, with code 1006 if it broke.
        """
        ...

    async def close(self, code: int = 1000) -> None:
        """Close the connection with the closing handshake, which is limited in time.

        Raises nothing. If it is cancelled, the connection is closed without the handshake.

        Args:
            code: the close code that the peer gets; default 1000, a regular end.
        """
        ...


class Transport(Protocol):
    """Sends HTTP requests and opens WebSockets. Many tasks may call every method at once.

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

        If it is cancelled, the connection is closed, and `progress.sent` says whether fal may have the request.

        Args:
            request: what to send. `request.auth` says whether it gets the session's key.
            timeouts: the limits of one attempt. None (default): the session's.
            retry: the retry policy. None (default): the session's.
            accept: statuses beside 2xx that are returned and not raised; default: none.
            check: a function that is called with the response, inside the retries. It refuses the response by
                raising a FalError. None (default): no check.
            progress: updated while the request is on its way. None (default): not recorded.

        Returns:
            The response, its body read to the end.

        Raises:
            ApiError: fal answered with an error (see `error_of`).
            TransportError: no usable response arrived; if the request is paid, fal certainly did not take it.
            SubmissionUncertainError: no usable response arrived, and fal may have taken a paid request.
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
        """Open a response whose body is read in pieces. Only failures before its body are retried.

        Leaving the block closes the connection at once. There is no limit of the total time. Raises what `send`
        raises.

        Args:
            request: what to send.
            timeouts: its `first_byte` limits the silence before the body. None (default): the session's.
            retry: the retry policy. None (default): the session's.
            silence: the limit of silence within the body, in seconds. None (default): `timeouts.first_byte`.

        Returns:
            A context manager of the open response.
        """
        raise _missing(self, "open")

    def pass_through(
        self, request: HttpRequest, *, timeouts: Timeouts | None = None
    ) -> AbstractAsyncContextManager[OpenResponse]:
        """Make one attempt and open its response as it is, to be read in pieces. For a proxy.

        Nothing is retried, no redirect is followed, and no status raises an error. The limits are those of `open`.
        All requests that are passed through share a part of the connections.

        Args:
            request: what to send.
            timeouts: the limits of the attempt. None (default): the session's.

        Returns:
            A context manager of the open response.

        Raises:
            TransportError: no response arrived; if the request is paid, fal certainly did not take it.
            SubmissionUncertainError: no response arrived, and fal may have taken a paid request.
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
            headers: headers of the handshake. None (default): none but the session's own.
            auth: whether the handshake gets the session's key; default False.
            max_size: the limit of a received message, in bytes. 0 (default): no limit.
            heartbeat: seconds of silence after which a ping is sent. None (default): no pings.
            connect_timeout: seconds for the handshake; default 10. None: no limit.
            endpoint_id: the endpoint that errors name. None (default): none.

        Returns:
            A context manager of the open WebSocket.

        Raises:
            ApiError: the handshake was refused.
            TransportError: the server was not reached.
        """
        raise _missing(self, "websocket")


def _missing(transport: object, method: str) -> ConfigurationError:
    return ConfigurationError(
        f"{type(transport).__name__} has no {method}(), which this call needs: define it"
    )
