"""Encode a request or a stream as server-sent events, in the format of WHATWG HTML 9.2.

A request has `update` events (status, position, new log lines), then `result` or `failed`. The items of a stream
are plain `message` events, followed by `done` or `failed`. All data is JSON (`fal_async/outputs/json_values.py`).
The name `error` is not used, because EventSource has its own event of that name.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from typing import Any

import attrs

from fal_async.errors import FalError, RequestRef
from fal_async.integrations.error_answers import answer_to
from fal_async.models import Completed, InProgress, Queued, QueueStatus, RequestLog, Result, UnknownStatus
from fal_async.outputs.json_values import json_text
from fal_async.queue import RequestHandle
from fal_async.queue.handle import kept_request
from fal_async.queue.state import may_be_paid

logger: logging.Logger = logging.getLogger("fal_async")
KEEP_ALIVE = b": keep-alive\n\n"
_EVENT_ID = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9_.:-]{0,199})\.(?:([0-9]{1,9})(?:-([0-9a-f]{12}))?|end)", re.ASCII
)
_END = "end"
_STATUSES = Queued | InProgress | Completed | UnknownStatus


def encode_event(data: Any, *, event: str = "message", event_id: str | None = None) -> bytes:
    """Encode one event. Its data is one `data:` line, because the JSON has no line breaks."""
    lines = [] if event == "message" else [f"event: {event}"]
    lines += [] if event_id is None else [f"id: {event_id}"]
    return "\n".join([*lines, f"data: {json_text(data)}", "", ""]).encode()


@attrs.frozen
class LastEvent:
    """The last event that a reconnecting browser received (`Last-Event-ID`)."""

    request_id: str
    ended: bool
    number: int = 0
    last_line: str | None = None
    """A digest of the last log line that the browser received. It is not a line number, because fal's logs are a
    sliding window (protocol 4.2).
    """


def last_event(header: str | None) -> LastEvent | None:
    """Parse `Last-Event-ID`. Return None if it is missing or was not made by `events_of_request`."""
    found = _EVENT_ID.fullmatch(header or "")
    if found is None:
        return None
    return LastEvent(found[1], found[2] is None, int(found[2] or 0), found[3])


class _Sent:
    """How many events of one request the browser has received, and which log line was the last."""

    def __init__(self, seen: LastEvent | None) -> None:
        self._number = 0 if seen is None else seen.number
        self._last_line = None if seen is None else seen.last_line
        self._is_behind = self._last_line is not None
        """Whether the next log lines may include lines that were sent before the connection broke."""

    def describe(self, status: QueueStatus) -> dict[str, Any]:
        lines = status.new_logs
        if lines and self._is_behind:
            known = [at for at, line in enumerate(lines, 1) if _digest(line) == self._last_line]
            lines, self._is_behind = lines[max(known, default=0) :], False
        if lines:
            self._last_line = _digest(lines[-1])
        return describe(status, lines)

    def next_id(self, request_id: str) -> str:
        self._number += 1
        return self.last_id(request_id)

    def last_id(self, request_id: str) -> str:
        return f"{request_id}.{self._number}" + ("" if self._last_line is None else f"-{self._last_line}")


def _digest(line: RequestLog) -> str:
    text = f"{line.timestamp}\n{line.level}\n{line.message}"
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]


def describe(status: QueueStatus, lines: Sequence[RequestLog]) -> dict[str, Any]:
    """Return the data of an `update` with these log lines."""
    described: dict[str, Any] = {"request_id": status.request_id, "status": _word_of(status)}
    if isinstance(status, Queued):
        described["position"] = status.position
    return {**described, "logs": [_line(entry) for entry in lines]}


def _word_of(status: QueueStatus) -> str:
    if isinstance(status, UnknownStatus):
        return status.status
    return {Queued: "IN_QUEUE", InProgress: "IN_PROGRESS", Completed: "COMPLETED"}[type(status)]


def _line(entry: RequestLog) -> dict[str, str]:
    return {"message": entry.message, "timestamp": entry.timestamp, "level": entry.level}


def describe_result(result: Result[Any]) -> dict[str, Any]:
    return {
        "request_id": result.request_id,
        "data": result.data,
        "metrics": result.metrics,
        "billable_units": result.billable_units,
    }


def describe_error(error: FalError) -> dict[str, Any]:
    answer = answer_to(error)
    return {**answer.body, "status": answer.status}


async def events_of_request(
    handle: RequestHandle[Any], *, logs: bool, seen: LastEvent | None = None
) -> AsyncGenerator[bytes, None]:
    """Yield updates, then the result. The event ids contain the request id, so that a browser can reconnect.

    `seen` is the last event that the browser received before it reconnected. Log lines up to it are not sent again.
    """
    sent = _Sent(seen if seen is not None and seen.request_id == handle.request_id else None)
    end = f"{handle.request_id}.{_END}"
    # A block without data is not dispatched, but sets the last event id (WHATWG HTML 9.2.6). So a browser whose
    # connection breaks before the first event reconnects to this request, and `source` does not submit another one.
    yield f"id: {sent.last_id(handle.request_id)}\n\n".encode()
    try:
        kept = await kept_request(handle)
        if kept is None or not kept.has_ended:
            async with contextlib.aclosing(handle.updates(logs=logs, mode="auto")) as updates:
                async for status in updates:
                    data = sent.describe(status)
                    yield encode_event(data, event="update", event_id=sent.next_id(handle.request_id))
        yield encode_event(describe_result(await handle.result()), event="result", event_id=end)
    except FalError as error:
        error.about(RequestRef(request_id=handle.request_id))
        if may_be_paid(handle.last_status):
            error.retryable = False  # a browser that retries would submit another request, also billed
        logger.warning("a relayed request failed: %s", error)
        yield encode_event(describe_error(error), event="failed", event_id=end)


async def events_of_stream(items: AsyncIterable[Any]) -> AsyncGenerator[bytes, None]:
    """Yield the items as events without ids: a stream can't be resumed (protocol 12)."""
    try:
        async for item in items:
            if isinstance(item, _STATUSES):
                yield encode_event(describe(item, item.new_logs), event="update")
            else:
                yield encode_event(item)
        yield encode_event(None, event="done")
    except FalError as error:
        logger.warning("a relayed stream failed: %s", error)
        yield encode_event(describe_error(error), event="failed")
    except Exception:
        # A browser treats a truncated response as a lost connection: it would reconnect, and be billed again.
        yield encode_event(describe_error(FalError("the relayed stream failed")), event="failed")
        raise
