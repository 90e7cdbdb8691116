"""HTTP over WebSocket, `wss://ws.fal.run/{id}`: the meaning of its frames (protocol 5.2). Experimental."""

from __future__ import annotations

import json
from typing import Any

import attrs

from fal_async.config import Settings
from fal_async.errors import RealtimeError
from fal_async.protocol.endpoint import EndpointId


@attrs.frozen(kw_only=True)
class Start:
    """The start frame of a response."""

    request_id: str
    status: int
    headers: dict[str, str]
    """Names in lower case."""


@attrs.frozen
class Body:
    """A part of a response's body."""

    data: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class End:
    """The end frame of a response. `status`: its HTTP status."""

    status: int


def websocket_url(settings: Settings, endpoint: EndpointId) -> str:
    return f"{settings.hosts.ws}/{endpoint.full}"


class Exchange:
    """One response on the connection: a start frame, body frames, an end frame (protocol 5.2).

    A control frame (start or end) is a JSON text with `type` and `request_id`. Every other frame between start and
    end is part of the body, even text that looks like JSON.
    """

    def __init__(self) -> None:
        self._start: Start | None = None

    def take(self, frame: str | bytes) -> Start | Body | End:
        """Return the meaning of a frame. Raise RealtimeError for a control frame that is out of place."""
        document = _control(frame)
        if self._start is None:
            return self._begin(document)
        if document is None or document.get("request_id") != self._start.request_id:
            return Body(frame.encode() if isinstance(frame, str) else frame)
        if document["type"] != "end":
            raise RealtimeError(f"unexpected {document['type']!r} frame within a response: expected 'end'")
        return _end(document, self._start)

    def _begin(self, document: dict[str, Any] | None) -> Start:
        if document is None or document["type"] != "start":
            raise RealtimeError("the response did not begin with a 'start' frame")
        headers = document.get("headers")
        status = document.get("status")
        self._start = Start(
            request_id=str(document["request_id"]),
            status=status if isinstance(status, int) else 200,
            headers=_lower(headers) if isinstance(headers, dict) else {},
        )
        return self._start


def _control(frame: str | bytes) -> dict[str, Any] | None:
    if not isinstance(frame, str) or not frame.startswith("{"):
        return None
    try:
        document = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    known = isinstance(document, dict) and document.get("type") in ("start", "end")
    return document if known and "request_id" in document else None


def _end(document: dict[str, Any], start: Start) -> End:
    status = document.get("status")
    return End(status=status if isinstance(status, int) else start.status)


def _lower(headers: dict[str, Any]) -> dict[str, str]:
    return {name.lower(): str(text) for name, text in headers.items()}
