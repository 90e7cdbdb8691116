"""The interface by which the emulator calls a mounted application, in this process or behind a URL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import attrs
from multidict import CIMultiDict

from fal_async.emulator.jobs.served import Served
from fal_async.emulator.wire.answers import Answer, ModelError


@attrs.frozen(kw_only=True)
class Ask:
    """One HTTP request to an application. `path` and `query` are percent-encoded, as the caller sent them."""

    method: str = "POST"
    path: str = "/"
    query: str = attrs.field(default="", repr=False)
    headers: CIMultiDict[str] = attrs.field(factory=CIMultiDict, repr=False)
    body: bytes = attrs.field(default=b"", repr=False)
    caller: tuple[str, int] = ("127.0.0.1", 0)
    """The caller's address and port."""

    @property
    def protocols(self) -> list[str]:
        """The WebSocket subprotocols that the caller offers."""
        offered = ",".join(self.headers.getall("Sec-WebSocket-Protocol", []))
        return [name for part in offered.split(",") if (name := part.strip())]


class Response(Protocol):
    """Status and headers of an answer; its body is read piece by piece."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def headers(self) -> CIMultiDict[str]:
        """Headers to pass on."""

    @property
    def sized(self) -> bool:
        """Whether the length of the body is known, so that it can be read as a whole."""

    def pieces(self) -> AsyncIterator[bytes]:
        """Yield the pieces of the body. Raise `ModelError` if the application stops within it."""


LOST = 1006
"""Close code of a connection that was lost; it is never sent (RFC 6455, 7.4.1)."""


@attrs.frozen
class Closing:
    """The application has closed the WebSocket."""

    code: int = 1000
    reason: str = ""


class Channel(Protocol):
    """A WebSocket that the application accepted."""

    @property
    def protocol(self) -> str | None: ...
    async def receive(self) -> str | bytes | Closing: ...
    async def send(self, frame: str | bytes) -> None: ...
    async def close(self, code: int, reason: str) -> None: ...


class Rejected(Exception):
    """The application refused a WebSocket, with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"the application refused the WebSocket with {answer.status}")
        self.answer = answer


class Application(Protocol):
    """A mounted application. Leaving `ask` or `connect` early also aborts the call in the application."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    def ask(self, ask: Ask) -> AbstractAsyncContextManager[Response]:
        """Send an HTTP request. Raise fal's own `ModelError` if the application does not answer."""

    def connect(self, ask: Ask) -> AbstractAsyncContextManager[Channel]:
        """Open a WebSocket. Raise `Rejected` if it is refused, `ModelError` if the connection fails."""


@attrs.frozen(kw_only=True, eq=False)
class Mount(Served):
    """An application under its id. All its paths share its runners, as on fal."""

    application: Application
    runs_on: bool = False
    """Whether a cancelled call is never aborted; the application is notified of the cancel in any case."""


def incomplete(why: str) -> ModelError:
    """Return the 502 that fal retries, unlike a plain 502 (protocol 9.2)."""
    return ModelError(502, why, "runner_incomplete_response", {"X-Fal-Needs-Retry": "1"})


BODILESS = frozenset({204, 304})
_OF_ONE_CONNECTION = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"}
    | {"upgrade", "content-length"}
)
"""Headers about one connection, not about the message (RFC 9110, 7.6.1)."""


def end_to_end(headers: Mapping[str, str], *, but: frozenset[str] = frozenset()) -> CIMultiDict[str]:
    """Return the headers to pass on, repeated names included, without those in `but` (lower-case names)."""
    left_out = _OF_ONE_CONNECTION | but
    return CIMultiDict((name, text) for name, text in headers.items() if name.lower() not in left_out)
