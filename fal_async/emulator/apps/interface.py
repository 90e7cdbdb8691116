"""What `mount` puts behind the queue: an application, in this process or elsewhere, as the emulator calls it."""

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
    """One request to an application. `path` and `query` are percent-encoded, as they were sent."""

    method: str = "POST"
    path: str = "/"
    query: str = attrs.field(default="", repr=False)
    headers: CIMultiDict[str] = attrs.field(factory=CIMultiDict, repr=False)
    body: bytes = attrs.field(default=b"", repr=False)
    caller: tuple[str, int] = ("127.0.0.1", 0)
    """Address and port of who called the emulator."""

    @property
    def protocols(self) -> list[str]:
        """The WebSocket subprotocols that the caller offers."""
        offered = ",".join(self.headers.getall("Sec-WebSocket-Protocol", []))
        return [name for part in offered.split(",") if (name := part.strip())]


class Response(Protocol):
    """The beginning of an answer. Its body comes piece by piece; `ModelError` where it breaks off."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> CIMultiDict[str]: ...
    @property
    def sized(self) -> bool:
        """It says how long its body is, or has none: nobody waits for a part of it."""

    def pieces(self) -> AsyncIterator[bytes]: ...


LOST = 1006
"""The close code for a connection that ended without one: never sent (RFC 6455, 7.4.1)."""


@attrs.frozen
class Closing:
    """The application closed a WebSocket."""

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
    """Leaving `ask` or `connect` early ends the call on the application's side, too."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    def ask(self, ask: Ask) -> AbstractAsyncContextManager[Response]:
        """`ModelError` as the platform words it where no answer can be had."""

    def connect(self, ask: Ask) -> AbstractAsyncContextManager[Channel]:
        """`Rejected` where the application does not accept; `ModelError` where it can't be reached."""


@attrs.frozen(kw_only=True, eq=False)
class Mount(Served):
    """An application under its id. All of its paths share its runners, as on fal."""

    application: Application
    runs_on: bool = False
    """A cancel is told to it, but its call is never cut off."""


def incomplete(why: str) -> ModelError:
    """ "runner_incomplete_response: 502, retried, though a plain 502 is not" (protocol 9.2)."""
    return ModelError(502, why, "runner_incomplete_response", {"X-Fal-Needs-Retry": "1"})


BODILESS = frozenset({204, 304})
_OF_ONE_CONNECTION = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"}
    | {"upgrade", "content-length"}
)
"""Headers that say how one connection carries a message, not what it says (RFC 9110, 7.6.1)."""


def end_to_end(headers: Mapping[str, str], *, but: frozenset[str] = frozenset()) -> CIMultiDict[str]:
    """Those that travel on, several of one name included; without those in `but` (in small letters)."""
    dropped = _OF_ONE_CONNECTION | but
    return CIMultiDict((name, text) for name, text in headers.items() if name.lower() not in dropped)
