"""Where a queued request stands, and how it ended: statuses, logs, errors of its result (protocol 4.2 to 4.5).

Everything but the status word is optional in what fal answers; unknown fields and status words are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from fal_async.errors import (
    ApiError,
    FalError,
    NotFoundError,
    RequestCancelledError,
    RequestFailedError,
    ResponseDecodeError,
    ResultExpiredError,
)
from fal_async.models import Completed, InProgress, Queued, QueueStatus, RequestLog, UnknownStatus
from fal_async.protocol.api_errors import check_from_fal, is_gateways_page
from fal_async.protocol.fields import count_in, text_in
from fal_async.protocol.http import HttpResponse, content_type, decode_json, is_json


def parse_status(document: Any, request_id: str, new_logs: NewLogs | None = None) -> QueueStatus:
    """ResponseDecodeError where it is no status at all; a word that nobody knows is an `UnknownStatus`."""
    word = document.get("status") if isinstance(document, dict) else None
    if not isinstance(word, str):
        raise ResponseDecodeError(
            "a status answer has no status",
            paths=["required field missing @ $.status"],
            request_id=request_id,
            retryable=True,
        )
    logs = parse_logs(document.get("logs"))
    news = logs if new_logs is None else new_logs.take(logs)
    if word == "IN_PROGRESS":
        return InProgress(request_id=request_id, logs=logs, new_logs=news, raw=document)
    if word == "IN_QUEUE":
        position = count_in(document, "queue_position")
        return Queued(request_id=request_id, logs=logs, new_logs=news, raw=document, position=position)
    if word != "COMPLETED":
        return UnknownStatus(request_id=request_id, logs=logs, new_logs=news, raw=document, status=word)
    metrics = document.get("metrics")
    return Completed(
        request_id=request_id,
        logs=logs,
        new_logs=news,
        raw=document,
        metrics=metrics if isinstance(metrics, dict) else {},
        error=_error_text(document.get("error")),
        error_type=text_in(document, "error_type"),
    )


def unknown_word(status: UnknownStatus) -> ResponseDecodeError:
    """What following ends with where nothing else is answered for too long."""
    return ResponseDecodeError(
        f"the status is {status.headline!r}, which this version does not know",
        request_id=status.request_id,
        retryable=True,
    )


def parse_event(data: str, request_id: str, new_logs: NewLogs) -> QueueStatus:
    """One event of a status stream: the same object as a status answer. ResponseDecodeError as there."""
    try:
        document = decode_json(data)
    except ValueError as error:
        raise ResponseDecodeError(
            "a status event is no JSON", request_id=request_id, retryable=True
        ) from error
    return parse_status(document, request_id, new_logs)


def _error_text(error: Any) -> str | None:
    if error is None or error is False or error == "":
        return None
    return _as_text(error)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except RecursionError:
        return "..."


def parse_logs(entries: Any) -> tuple[RequestLog, ...]:
    """Flat entries, or `labels: {level, source}` as the Swift and Java clients expect (protocol 4.2)."""
    if not isinstance(entries, list) or not entries:
        return ()
    return tuple(_log(entry) for entry in entries if isinstance(entry, dict | str))


def _log(entry: Mapping[str, Any] | str) -> RequestLog:
    if isinstance(entry, str):
        return RequestLog(message=entry)
    labels = entry.get("labels")
    fields = {**labels, **entry} if isinstance(labels, dict) else entry

    def text(name: str) -> str:
        value = fields.get(name)
        return "" if value is None else _as_text(value)

    return RequestLog(
        message=text("message"), timestamp=text("timestamp"), level=text("level"), source=text("source")
    )


class NewLogs:
    """Tells the log entries that were not seen before: the server sends a moving window (protocol 4.2)."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()

    def take(self, logs: Iterable[RequestLog]) -> tuple[RequestLog, ...]:
        news = []
        for entry in logs:
            key = (entry.timestamp, entry.message)
            if key not in self._seen:
                self._seen.add(key)
                news.append(entry)
        return tuple(news)


# The result (4.4).

CANCELLED_STATUS = 499
"""What the result of a cancelled request answers (protocol 4.5)."""
_CANCELLED_TYPES = frozenset({"client_cancelled"})


def check_result(response: HttpResponse) -> None:
    """ResponseDecodeError, worth another try, for what is no model's answer: cut JSON, or a gateway's page."""
    check_from_fal(response)
    if is_json(content_type(response.headers)):
        response.json()


def result_error(error: ApiError, completed: Completed | None) -> FalError:
    """What an error answer of the result URL means: it is the model's own, or the request is gone or cancelled."""
    kind = error.error_type or (completed.error_type if completed else None)
    if error.status == CANCELLED_STATUS and (kind is None or kind in _CANCELLED_TYPES):
        return RequestCancelledError(
            "the request was cancelled on the server",
            request_id=error.request_id,
            endpoint_id=error.endpoint_id,
        )
    if completed is not None and completed.error is not None and not _says_something(error):
        return RequestFailedError(
            completed.error,
            error_type=kind,
            request_id=error.request_id,
            endpoint_id=error.endpoint_id,
        )
    if isinstance(error, NotFoundError) and _is_gone(error, completed):
        return _expired(error)
    if error.error_type is None:
        error.error_type = kind
    return error


def _is_gone(error: NotFoundError, completed: Completed | None) -> bool:
    # A 404 with other words is the app's own, if the request failed (protocol 9.3: unknown path).
    if completed is None or completed.error is not None or completed.error_type is not None:
        return _is_not_found(error.body)
    return not is_gateways_page(error.status, error.headers)


def _expired(error: ApiError) -> ResultExpiredError:
    return ResultExpiredError(
        "fal does not know this request (any more): results are kept for 1 hour, those of 10 kB and more "
        "for 6 minutes",
        status=error.status,
        error_type=error.error_type,
        headers=error.headers,
        body=error.body,
        request_id=error.request_id,
        endpoint_id=error.endpoint_id,
    )


def vanished(error: NotFoundError) -> NotFoundError:
    """A request that was followed already, and that fal no longer knows."""
    return _expired(error) if _is_not_found(error.body) else error


def _is_not_found(body: Any) -> bool:
    return isinstance(body, dict) and body.get("status") == "NOT_FOUND"


def _says_something(error: ApiError) -> bool:
    """Whether the body is the model's own word on what went wrong."""
    return isinstance(error.body, dict) and not _is_not_found(error.body) and bool(error.body)
