"""What the emulator and a mounted application exchange: a request, a refusal, the end of a WebSocket."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import attrs
from multidict import CIMultiDict

from fal_async.emulator.wire.answers import Answer, ModelError


def _unheard(_: str, __: str) -> None:
    return


@attrs.frozen(kw_only=True)
class Ask:
    """One HTTP request to an application. `path` and `query` are percent-encoded, as the caller sent them."""

    method: str = "POST"
    path: str = "/"
    query: str = attrs.field(default="", repr=False)
    headers: CIMultiDict[str] = attrs.field(factory=CIMultiDict, repr=False)
    body: bytes = attrs.field(default=b"", repr=False)
    log: Callable[[str, str], None] = attrs.field(default=_unheard, repr=False)
    """Takes a line that the application printed, and its level. Called in the emulator's event loop."""

    @property
    def protocols(self) -> list[str]:
        """The WebSocket subprotocols that the caller offers."""
        offered = ",".join(self.headers.getall("Sec-WebSocket-Protocol", []))
        return [name for part in offered.split(",") if (name := part.strip())]


LOST = 1006
"""Close code of a connection that was lost; it is never sent (RFC 6455, 7.4.1)."""


@attrs.frozen
class Closing:
    """The application has closed the WebSocket."""

    code: int = 1000
    reason: str = ""


class Rejected(Exception):
    """The application refused a WebSocket, with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"the application refused the WebSocket with {answer.status}")
        self.answer = answer


def incomplete(why: str) -> ModelError:
    """Return the 502 that fal retries, unlike a plain 502 (protocol 9.2)."""
    return ModelError(502, why, "runner_incomplete_response", {"X-Fal-Needs-Retry": "1"})


KEPT_BACK = frozenset({"authorization", "expect", "content-encoding", "accept-encoding"})
"""Headers that the application does not get: it must not know the API key, the body is already decoded, and answers
must not be compressed, since the job store, webhooks and clients read them again."""


def billed_units(headers: Mapping[str, str]) -> float | None:
    """Return the units in an answer's header, which the gateway replaces by its own; None without a number."""
    try:
        units = float(headers.get("x-fal-billable-units", ""))
    except ValueError:
        return None
    return units if 0 <= units < math.inf else None


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
