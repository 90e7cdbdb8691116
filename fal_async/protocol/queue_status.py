"""Where a queued request stands: statuses and logs (protocol 4.2, 4.3).

Everything but the status word is optional in what fal answers; unknown fields and status words are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from fal_async.errors import ResponseDecodeError
from fal_async.models import Completed, InProgress, Queued, QueueStatus, RequestLog, UnknownStatus
from fal_async.protocol.api_errors import words_of
from fal_async.protocol.fields import count_in, text_in
from fal_async.protocol.http import decode_json

UNFINISHED = frozenset({"IN_QUEUE", "IN_PROGRESS"})
_CANCELLED = frozenset({"CANCELLED", "CANCELED"})
_FAILED = _CANCELLED | {
    *("FAILED", "FAILURE", "ERROR", "ERRORED"),
    *("TIMEOUT", "TIMED_OUT", "REJECTED", "EXPIRED", "ABORTED"),
}
"""fal has none of these words; gateways that speak its protocol do (protocol 4.2)."""


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
    if word.upper() in _FAILED:
        return _failed(document, word, request_id, logs, news)
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


def failed_status(document: Any, request_id: str) -> Completed | None:
    """The status that a document is, where its word alone says that the request failed or was cancelled."""
    word = document.get("status") if isinstance(document, Mapping) else None
    if not isinstance(word, str) or word.upper() not in _FAILED:
        return None
    return _failed(document, word, request_id)


def _failed(
    document: Mapping[str, Any],
    word: str,
    request_id: str,
    logs: tuple[RequestLog, ...] = (),
    news: tuple[RequestLog, ...] = (),
) -> Completed:
    said = words_of(document)
    cancelled = "client_cancelled" if word.upper() in _CANCELLED else None
    return Completed(
        request_id=request_id,
        logs=logs,
        new_logs=news,
        raw=document,
        error=f"the request ended as {word}" if said is None or said == word else said,
        error_type=text_in(document, "error_type") or cancelled,
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
