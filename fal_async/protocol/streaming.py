"""A model's stream: the request, and the meaning of its body and of each event (protocol 5.1)."""

from __future__ import annotations

import enum
import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from fal_async.checks import check_seconds
from fal_async.config import Settings
from fal_async.models import (
    WorkflowCompletion,
    WorkflowEvent,
    WorkflowFailure,
    WorkflowOutput,
    WorkflowSubmit,
)
from fal_async.options import CallOptions
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.http import HttpRequest, Operation, content_type, decode_json, is_json
from fal_async.protocol.json_input import encode_json, input_value
from fal_async.protocol.options import option_headers
from fal_async.protocol.sse import ServerSentEvent

EVENT_STREAM = "text/event-stream"
DEFAULT_IDLE_TIMEOUT = 300.0
KEPT = 1024 * 1024
"""Maximum number of characters of events that are kept for an error's `received`."""
_WORDS = ("detail", "message", "error", "msg")
_DONE = "[DONE]"
"""The data of the last event of some models, as of OpenAI's API. Other models only close the response."""
MARKS = frozenset({"", _DONE})
"""The data of events that are not values."""
raw_decode: Callable[[str], tuple[Any, int]] = json.JSONDecoder().raw_decode
"""Returns a value and the index after it. It is `json.loads` without the two searches for white space."""


class BodyKind(enum.Enum):
    """The kind of a stream's body."""

    EVENTS = "events"
    """Server-sent events."""
    JSON = "json"
    """One JSON value, from an endpoint that responds in one piece: a stream of one value."""
    CHUNKS = "chunks"
    """Any other type: the stream yields the bytes as they arrive."""
    PAGE = "page"
    """An HTML page, from a gateway and not from a model."""


class Meaning(enum.Enum):
    """The meaning of an event."""

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
    """Return the idle timeout in seconds, 300 for None. Raise ConfigurationError unless it is a positive number."""
    if seconds is None:
        return DEFAULT_IDLE_TIMEOUT
    if seconds != math.inf:  # infinity switches the timeout off
        check_seconds("idle_timeout", seconds)
    return float(seconds)


def body_kind(headers: dict[str, str]) -> BodyKind:
    """Return the kind of a body by its content type. `headers`: names in lower case."""
    kind = content_type(headers)
    if kind == EVENT_STREAM:
        return BodyKind.EVENTS
    if is_json(kind):
        return BodyKind.JSON
    return BodyKind.PAGE if kind == "text/html" else BodyKind.CHUNKS


def meaning_of(event: ServerSentEvent | str) -> Meaning:
    """Return the meaning of an event. A str is the data of an event that has no other fields.

    Events with a name are values, except those named `error`.
    """
    data = event
    if isinstance(event, ServerSentEvent):
        if event.event == "error":
            return Meaning.ERROR
        data = event.data
    if data == "":
        return Meaning.SKIP
    return Meaning.END if data == _DONE else Meaning.VALUE


def is_workflow(endpoint_id: str | None) -> bool:
    """Return whether an endpoint sends a workflow's events; other models may send the same ones as values."""
    return endpoint_id is not None and endpoint_id.startswith("workflows/")


def workflow_event(value: Any) -> Any:
    """Return the event in the decoded JSON of an event; other values, and events of unknown types, unchanged."""
    kind = value.get("type") if isinstance(value, dict) else None
    read = _KINDS.get(kind) if isinstance(kind, str) else None
    return value if read is None else read(value)


def is_result(value: Any) -> bool:
    """Return whether a value that is not one of the classes above may be a workflow's output: it has no `type`."""
    return not isinstance(value, WorkflowEvent) and not (isinstance(value, dict) and "type" in value)


def failure_message(failure: WorkflowFailure) -> str:
    """Return the message of the error that is raised for a failed step: fal's own, and the step's error."""
    node = "" if failure.node_id is None else f" {failure.node_id}"
    status = "" if failure.status is None else f" with status {failure.status}"
    said = failure.message or f"the step{node} of the workflow failed{status}"
    reason = _text_in(failure.body)
    return said if not reason or reason in said else f"{said}: {reason}"


def _submit(event: dict[str, Any]) -> WorkflowSubmit:
    return WorkflowSubmit(
        node_id=_text(event, "node_id"),
        app_id=_text(event, "app_id"),
        request_id=_text(event, "request_id"),
        raw=event,
    )


def _completion(event: dict[str, Any]) -> WorkflowCompletion:
    return WorkflowCompletion(
        node_id=_text(event, "node_id"), app_id=_text(event, "app_id"), output=event.get("output"), raw=event
    )


def _output(event: dict[str, Any]) -> WorkflowOutput:
    return WorkflowOutput(output=event.get("output"), raw=event)


def _failure(event: dict[str, Any]) -> WorkflowFailure:
    error = event.get("error")
    found = error if isinstance(error, dict) else {"body": error}
    status = found.get("status")
    return WorkflowFailure(
        node_id=_text(event, "node_id"),
        message=_text(event, "message") or "",
        status=status if type(status) is int else None,
        body=found.get("body"),
        raw=event,
    )


def _text(event: dict[str, Any], name: str) -> str | None:
    value = event.get(name)
    return value if isinstance(value, str) else None


_KINDS: Mapping[str, Callable[[dict[str, Any]], WorkflowEvent]] = {
    "submit": _submit,
    "completion": _completion,
    "output": _output,
    "error": _failure,
}


def error_detail(data: str | bytes) -> Any:
    """Return the content of an error event: the JSON value, or `data` if it is not JSON."""
    try:
        return decode_json(data)
    except ValueError:
        return data


def error_message(detail: Any) -> str:
    """Return the message of an error event: one of fal's error bodies (protocol 9), an `error`, or plain text."""
    return _text_in(detail) or "the model sent an error event"


def _text_in(detail: Any) -> str:
    """Return the text of an error in JSON values; "" if there is none."""
    while not isinstance(detail, str):
        if isinstance(detail, list) and detail:
            detail = detail[0]
        elif isinstance(detail, dict) and (named := [name for name in _WORDS if name in detail]):
            detail = detail[named[0]]
        else:
            break
    return detail if isinstance(detail, str) else ""


class Kept:
    """The last values of a stream, about a megabyte at most, for the error of a failed stream."""

    def __init__(self, limit: int = KEPT) -> None:
        self._limit, self._gone = limit, 0
        self._pieces: deque[str | bytes] = deque()

    def add(self, piece: str | bytes) -> None:
        """Add a value; a str is the JSON of an event. Only `trim` deletes values."""
        self._pieces.append(piece)

    @property
    def count(self) -> int:
        """The number of values that were added, including deleted ones."""
        return self._gone + len(self._pieces)

    def trim(self) -> None:
        """Delete the oldest values beyond the limit. It reads all kept values, so don't call it for each one."""
        size = sum(map(len, self._pieces))
        while size > self._limit and len(self._pieces) > 1:
            size -= len(self._pieces.popleft())
            self._gone += 1

    def values(self) -> list[Any]:
        """Return the kept values, oldest first, with JSON decoded."""
        self.trim()
        return [decode_json(piece) if isinstance(piece, str) else piece for piece in self._pieces]
