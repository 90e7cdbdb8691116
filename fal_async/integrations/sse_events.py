"""What a browser gets to see of a request, as server-sent events: text in the format of WHATWG HTML 9.2.

Events: `update` (status, position, new log lines), `result`, `failed`; the items of a stream come as plain
`message` events, closed by `done`. Each carries JSON (`fal_async/outputs/json_values.py`). (`error` is the name of
one of EventSource's own.)
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
    """One event. JSON has no line ends outside of strings, so one `data:` line is enough."""
    lines = [] if event == "message" else [f"event: {event}"]
    lines += [] if event_id is None else [f"id: {event_id}"]
    return "\n".join([*lines, f"data: {json_text(data)}", "", ""]).encode()


@attrs.frozen
class LastEvent:
    """What a reconnecting browser saw last (`Last-Event-ID`)."""

    request_id: str
    ended: bool
    number: int = 0
    last_line: str | None = None
    """A digest of the last log line that it was told, since a number tells nothing: fal's logs are a window that
    moves (protocol 4.2)."""


def last_event(header: str | None) -> LastEvent | None:
    """None: it does not reconnect, or not to anything of ours."""
    found = _EVENT_ID.fullmatch(header or "")
    if found is None:
        return None
    return LastEvent(found[1], found[2] is None, int(found[2] or 0), found[3])


class _Account:
    """What the browser was told of one request: the number of its events, and the log lines."""

    def __init__(self, seen: LastEvent | None) -> None:
        self._number = 0 if seen is None else seen.number
        self._last_line = None if seen is None else seen.last_line
        self._is_behind = self._last_line is not None
        """Whether lines come that were told before the connection broke."""

    def describe(self, status: QueueStatus) -> dict[str, Any]:
        lines = status.new_logs
        if lines and self._is_behind:
            told = [at for at, line in enumerate(lines, 1) if _digest(line) == self._last_line]
            lines, self._is_behind = lines[max(told, default=0) :], False
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
    """An `update`, with those log lines."""
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
    handle: RequestHandle, *, logs: bool, seen: LastEvent | None = None
) -> AsyncGenerator[bytes, None]:
    """Updates, then the result. The ids name the request, so that a reconnecting browser can be led back.

    `seen`: the last event before it reconnected; log lines that it was told by then are not told again.
    """
    account = _Account(seen if seen is not None and seen.request_id == handle.request_id else None)
    end = f"{handle.request_id}.{_END}"
    # No event, but from now on a browser whose connection breaks knows what it comes back for (WHATWG HTML 9.2.6).
    yield f"id: {account.last_id(handle.request_id)}\n\n".encode()
    try:
        kept = await kept_request(handle)
        if kept is None or not kept.has_ended:
            async with contextlib.aclosing(handle.updates(logs=logs, mode="auto")) as updates:
                async for status in updates:
                    told = account.describe(status)
                    yield encode_event(told, event="update", event_id=account.next_id(handle.request_id))
        yield encode_event(describe_result(await handle.result()), event="result", event_id=end)
    except FalError as error:
        error.about(RequestRef(request_id=handle.request_id))
        if may_be_paid(handle.last_status):  # a browser that asks again asks for another one
            error.retryable = False
        logger.warning("a relayed request failed: %s", error)
        yield encode_event(describe_error(error), event="failed", event_id=end)


async def events_of_stream(items: AsyncIterable[Any]) -> AsyncGenerator[bytes, None]:
    """No ids: a stream can't be resumed (protocol 12)."""
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
        # A browser takes an answer that breaks off for a lost connection, and would ask, and pay, again.
        yield encode_event(describe_error(FalError("the relayed stream failed")), event="failed")
        raise
