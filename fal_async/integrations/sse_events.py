"""What a browser gets to see of a request, as server-sent events: text in the format of WHATWG HTML 9.2.

Events: `update` (status, position, new log lines), `result`, `failed`; the items of a stream come as plain
`message` events, closed by `done`. Each carries JSON, with bytes as base64. (`error` is the name of one of
EventSource's own.)
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any

import attrs

from fal_async.errors import FalError
from fal_async.integrations.error_answers import answer_to
from fal_async.models import Completed, InProgress, Queued, QueueStatus, RequestLog, Result, UnknownStatus
from fal_async.queue import RequestHandle

logger: logging.Logger = logging.getLogger("fal_async")
KEEP_ALIVE = b": keep-alive\n\n"
_EVENT_ID = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.:-]{0,199})\.([0-9]{1,9}|end)")
_END = "end"
_STATUSES = Queued | InProgress | Completed | UnknownStatus


def encode_event(data: Any, *, event: str = "message", event_id: str | None = None) -> bytes:
    """One event. JSON has no line ends outside of strings, so one `data:` line is enough."""
    lines = [] if event == "message" else [f"event: {event}"]
    lines += [] if event_id is None else [f"id: {event_id}"]
    text = json.dumps(data, separators=(",", ":"), default=_plain)
    return "\n".join([*lines, f"data: {text}", "", ""]).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):  # chunks of a model that sends no events
        return base64.b64encode(value).decode()
    if attrs.has(type(value)):
        return attrs.asdict(value)
    raise TypeError(f"JSON can't carry a value of type {type(value).__name__}")


@attrs.frozen
class LastEvent:
    """What a reconnecting browser saw last (`Last-Event-ID`)."""

    request_id: str
    ended: bool


def last_event(header: str | None) -> LastEvent | None:
    """None: it does not reconnect, or not to anything of ours."""
    found = _EVENT_ID.fullmatch(header or "")
    return None if found is None else LastEvent(found[1], found[2] == _END)


def describe(status: QueueStatus) -> dict[str, Any]:
    """An `update`: only the log lines that are new."""
    described: dict[str, Any] = {"request_id": status.request_id, "status": _word_of(status)}
    if isinstance(status, Queued):
        described["position"] = status.position
    return {**described, "logs": [_line(entry) for entry in status.new_logs]}


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


async def events_of_request(handle: RequestHandle, *, logs: bool) -> AsyncGenerator[bytes, None]:
    """Updates, then the result. The ids name the request, so that a reconnecting browser can be led back."""
    number = 0
    try:
        async with contextlib.aclosing(handle.updates(logs=logs, mode="auto")) as updates:
            async for status in updates:
                number += 1
                event_id = f"{handle.request_id}.{number}"
                yield encode_event(describe(status), event="update", event_id=event_id)
        result = describe_result(await handle.result())
        yield encode_event(result, event="result", event_id=f"{handle.request_id}.{_END}")
    except FalError as error:
        logger.warning("a relayed request failed: %s", error)
        yield encode_event(describe_error(error), event="failed", event_id=f"{handle.request_id}.{_END}")


async def events_of_stream(items: AsyncIterable[Any]) -> AsyncGenerator[bytes, None]:
    """No ids: a stream can't be resumed (protocol 12)."""
    try:
        async for item in items:
            if isinstance(item, _STATUSES):
                yield encode_event(describe(item), event="update")
            else:
                yield encode_event(item)
        yield encode_event(None, event="done")
    except FalError as error:
        logger.warning("a relayed stream failed: %s", error)
        yield encode_event(describe_error(error), event="failed")
