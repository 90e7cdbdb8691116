"""A model's stream: the request, and what its body and each event mean (protocol 5.1)."""

from __future__ import annotations

import enum
import json
import math
from collections import deque
from collections.abc import Callable
from typing import Any

from fal_async.checks import check_seconds
from fal_async.config import Settings
from fal_async.options import CallOptions
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.http import HttpRequest, Operation, content_type, decode_json, is_json
from fal_async.protocol.json_input import encode_json, input_value
from fal_async.protocol.options import option_headers
from fal_async.protocol.sse import ServerSentEvent

EVENT_STREAM = "text/event-stream"
DEFAULT_IDLE_TIMEOUT = 300.0
KEPT = 1024 * 1024
"""Characters of events that are kept for an error's `received`."""
_WORDS = ("detail", "message", "error", "msg")
_DONE = "[DONE]"
"""Some models write this where others just end, as OpenAI's API does."""
MARKS = frozenset({"", _DONE})
"""Data that is no value."""
raw_decode: Callable[[str], tuple[Any, int]] = json.JSONDecoder().raw_decode
"""A value and where it ends: `json.loads` without its two searches for white space."""


class BodyKind(enum.Enum):
    EVENTS = "events"
    JSON = "json"
    """An endpoint that gives its answer in one piece: a stream of one value."""
    CHUNKS = "chunks"
    """Anything else: the body's bytes, as they come."""
    PAGE = "page"
    """HTML: what a gateway says, not what a model sends."""


class Meaning(enum.Enum):
    VALUE = "value"
    SKIP = "skip"
    END = "end"
    ERROR = "error"


def stream_request(settings: Settings, endpoint: EndpointId, input: Any, options: CallOptions) -> HttpRequest:
    headers = option_headers(options, settings.tags, queue=False)
    return HttpRequest(
        operation=Operation.STREAM,
        method="POST",
        url=f"{settings.hosts.run}/{endpoint.full}",
        headers={**headers, "Accept": EVENT_STREAM, "Cache-Control": "no-store"},
        body=encode_json(input_value(input)),
        ref=endpoint.ref,
    )


def check_idle_timeout(seconds: float | None) -> float:
    """The default for None. ConfigurationError where it is no positive number."""
    if seconds is None:
        return DEFAULT_IDLE_TIMEOUT
    if seconds != math.inf:  # which switches it off
        check_seconds("idle_timeout", seconds)
    return float(seconds)


def body_kind(headers: dict[str, str]) -> BodyKind:
    """By the content type; names of headers in lower case."""
    kind = content_type(headers)
    if kind == EVENT_STREAM:
        return BodyKind.EVENTS
    if is_json(kind):
        return BodyKind.JSON
    return BodyKind.PAGE if kind == "text/html" else BodyKind.CHUNKS


def meaning_of(event: ServerSentEvent | str) -> Meaning:
    """Named events are values as any other, but for `error`. Text: an event that is nothing but this data."""
    data = event
    if isinstance(event, ServerSentEvent):
        if event.event == "error":
            return Meaning.ERROR
        data = event.data
    if data == "":
        return Meaning.SKIP
    return Meaning.END if data == _DONE else Meaning.VALUE


def is_workflow(endpoint_id: str | None) -> bool:
    return endpoint_id is not None and endpoint_id.startswith("workflows/")


def is_failed_step(event: Any) -> bool:
    """Of a workflow's stream, where no event follows it (protocol 15.2). Elsewhere it is a model's own affair."""
    return isinstance(event, dict) and event.get("type") == "error"


def error_detail(data: str | bytes) -> Any:
    try:
        return decode_json(data)
    except ValueError:
        return data


def error_message(detail: Any) -> str:
    """The words of an error event: fal's body shapes (protocol 9), a model's own `error`, or plain text."""
    while not isinstance(detail, str):
        if isinstance(detail, list) and detail:
            detail = detail[0]
        elif isinstance(detail, dict) and (named := [name for name in _WORDS if name in detail]):
            detail = detail[named[0]]
        else:
            break
    return detail if isinstance(detail, str) and detail else "the model sent an error event"


class Kept:
    """The newest values of a stream, at most about a megabyte of them, for who has to report a failure."""

    def __init__(self, limit: int = KEPT) -> None:
        self._limit, self._gone = limit, 0
        self._pieces: deque[str | bytes] = deque()

    def add(self, piece: str | bytes) -> None:
        """Keep one more. A str is an event's JSON. Nothing is forgotten before `trim`."""
        self._pieces.append(piece)

    @property
    def count(self) -> int:
        """How many values there were, those that are kept no more included."""
        return self._gone + len(self._pieces)

    def trim(self) -> None:
        """Forget the oldest beyond the limit. It looks at all that is kept: not to be called for each value."""
        size = sum(map(len, self._pieces))
        while size > self._limit and len(self._pieces) > 1:
            size -= len(self._pieces.popleft())
            self._gone += 1

    def values(self) -> list[Any]:
        self.trim()
        return [decode_json(piece) if isinstance(piece, str) else piece for piece in self._pieces]
