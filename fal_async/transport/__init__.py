"""The seam to the network: what the rest of the package asks of it. Importing it loads no HTTP library.

`AiohttpTransport` is the implementation that a session makes for itself. A transport of your own is one class:
derive it from `Transport`, define `send` (the only method that `subscribe` and the queue need), and give it to
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
    """An answer whose body is read in pieces. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]

    @property
    def request_id(self) -> str | None:
        """fal's id of the request, from the headers."""
        ...

    def close(self) -> None:
        """Close the connection at once, without waiting for anything."""
        ...

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes.

        Raises:
            TransportError: it broke off or stalled.
            SessionStateError: the session was closed meanwhile.
        """
        ...


class WebSocket(Protocol):
    """An open WebSocket. Only one task may receive; pings are answered while it does."""

    async def send(self, data: bytes | str) -> None:
        """Send a binary or a text frame. TransportError: it was not sent."""
        ...

    async def receive(self) -> bytes | str:
        """The next message: bytes of a binary frame, str of a text frame.

        Raises:
            Disconnected: the connection is closed; with code 1006 where it broke.
        """
        ...

    async def close(self, code: int = 1000) -> None:
        """Close it with the closing handshake, which is bounded in time."""
        ...


class Transport(Protocol):
    """Sends requests. Every method may be called by many tasks at once.

    A method that a transport of your own leaves out raises ConfigurationError when something needs it.
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
        """Send `request`, retry it where that is safe, and give a whole answer.

        Args:
            request: what to send. `request.auth` says whether the session's key belongs to it.
            timeouts: limits of one attempt; None for the session's.
            retry: None for the session's policy.
            accept: statuses that are answers too; without it only 2xx are.
            check: called with the answer; it refuses the answer by raising a FalError, inside the retries.
            progress: kept up to date while the request is on its way.

        Raises:
            ApiError: and its kinds: fal answered with an error (see `error_of`).
            TransportError: no usable answer, and fal surely did not take a paid request.
            SubmissionUncertainError: no usable answer, and fal may have taken a paid request.
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
        """An answer to be read in pieces. Only what comes before its body is retried; nothing bounds it in all.

        `timeouts.first_byte` bounds the silence (seconds) before the body and, where `silence` is None, within it.
        Leaving the block closes the connection at once. Raises what `send` raises.
        """
        raise _missing(self, "open")

    def pass_through(
        self, request: HttpRequest, *, timeouts: Timeouts | None = None
    ) -> AbstractAsyncContextManager[OpenResponse]:
        """One attempt, and whatever it is answered, to be read in pieces: for a proxy, which only passes on.

        Nothing is retried, no redirect is followed, no status becomes an error. Limits as in `open`. All that are
        passed through share a part of the connections. SubmissionUncertainError: fal may have taken a paid request.
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
        """A WebSocket. `max_size` in bytes, 0 for no limit; `heartbeat` in seconds, None for none.

        Raises:
            ApiError: and its kinds: the handshake was refused.
            TransportError: no connection.
        """
        raise _missing(self, "websocket")


def _missing(transport: object, method: str) -> ConfigurationError:
    return ConfigurationError(f"{type(transport).__name__} has no {method}(): this call needs it")
