"""How the emulator calls a mounted application, in this process or elsewhere."""

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
    """One request to an application. `path` and `query` are percent-encoded, as the caller sent them."""

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
    """The start of an answer, whose body is read piece by piece."""

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
        """Yield the pieces of the body. Raise `ModelError` if the application breaks off."""


LOST = 1006
"""Close code of a connection that ended without one; never sent (RFC 6455, 7.4.1)."""


@attrs.frozen
class Closing:
    """The end of a WebSocket, by the application."""

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
    """A mounted application. Leaving `ask` or `connect` early ends the call in the application, too."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    def ask(self, ask: Ask) -> AbstractAsyncContextManager[Response]:
        """Send a request. Raise the platform's `ModelError` if the application does not answer."""

    def connect(self, ask: Ask) -> AbstractAsyncContextManager[Channel]:
        """Open a WebSocket. Raise `Rejected` if it is refused, `ModelError` if there is no connection."""


@attrs.frozen(kw_only=True, eq=False)
class Mount(Served):
    """An application under its id. All its paths share its runners, as on fal."""

    application: Application
    runs_on: bool = False
    """True: the application is notified of a cancel, but the call is never cut off."""


def incomplete(why: str) -> ModelError:
    """Return the 502 that is retried, unlike a plain 502 (protocol 9.2)."""
    return ModelError(502, why, "runner_incomplete_response", {"X-Fal-Needs-Retry": "1"})


BODILESS = frozenset({204, 304})
_OF_ONE_CONNECTION = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"}
    | {"upgrade", "content-length"}
)
"""Headers about one connection, not about the message (RFC 9110, 7.6.1)."""


def end_to_end(headers: Mapping[str, str], *, but: frozenset[str] = frozenset()) -> CIMultiDict[str]:
    """Return the headers to pass on, several of one name included; `but` has lower-case names to drop."""
    dropped = _OF_ONE_CONNECTION | but
    return CIMultiDict((name, text) for name, text in headers.items() if name.lower() not in dropped)
