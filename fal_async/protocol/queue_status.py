"""Statuses and logs of a queued request (protocol 4.2, 4.3).

In fal's responses everything except the status word is optional; unknown fields and status words are kept.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fal_async.errors import ResponseDecodeError
from fal_async.models import Completed, InProgress, Queued, QueueStatus, RequestLog, UnknownStatus
from fal_async.protocol.api_errors import words_of
from fal_async.protocol.fields import count_in, text_in
from fal_async.protocol.http import decode_json

TakeNews = Callable[[Sequence[RequestLog]], tuple[RequestLog, ...]]
UNFINISHED = frozenset({"IN_QUEUE", "IN_PROGRESS"})
_CANCELLED = frozenset({"CANCELLED", "CANCELED"})
_FAILED = _CANCELLED | {
    *("FAILED", "FAILURE", "ERROR", "ERRORED"),
    *("TIMEOUT", "TIMED_OUT", "REJECTED", "EXPIRED", "ABORTED"),
}
"""fal does not use these words, but gateways that speak its protocol do (protocol 4.2)."""


def parse_status(document: Any, request_id: str, take: TakeNews | None = None) -> QueueStatus:
    """Parse a status. For an unknown word return an `UnknownStatus`.

    `take`: returns the new lines among the logs; None: all are new. Raises ResponseDecodeError without a status
    word.
    """
    word = document.get("status") if isinstance(document, dict) else None
    if not isinstance(word, str):
        raise ResponseDecodeError(
            "the status response has no status",
            paths=["required field missing @ $.status"],
            request_id=request_id,
            retryable=True,
        )
    logs = parse_logs(document.get("logs"))
    news = logs if take is None else take(logs)
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
    """Return the status if its word alone says that the request failed or was cancelled; else None."""
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
        error=f"the request has the status {word}" if said is None or said == word else said,
        error_type=text_in(document, "error_type") or cancelled,
    )


def unknown_word(status: UnknownStatus) -> ResponseDecodeError:
    """Return the error that is raised if fal returns only an unknown status word for too long."""
    return ResponseDecodeError(
        f"the status is {status.headline!r}, which this version of fal_async does not know",
        request_id=status.request_id,
        retryable=True,
    )


def parse_event(data: str, request_id: str, new_logs: NewLogs) -> QueueStatus:
    """Parse an event of a status stream, which has the form of a status. Raises the same as `parse_status`."""
    try:
        document = decode_json(data)
    except ValueError as error:
        raise ResponseDecodeError(
            "a status event is not JSON", request_id=request_id, retryable=True
        ) from error
    return parse_status(document, request_id, new_logs.take_event)


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
    """Parse log entries, flat or with `labels: {level, source}` as Swift and Java expect (protocol 4.2)."""
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


class LogHistory:
    """All log lines of one request, collected from overlapping windows (protocol 4.2).

    Two lines of a request may be equal, even with the same timestamp, and both are kept. So a line is recognised by
    its place: a window begins within the known lines and continues after them.
    """

    __slots__ = ("_counts", "lines")

    def __init__(self) -> None:
        self.lines: list[RequestLog] = []
        self._counts: Counter[RequestLog] = Counter()

    def place(self, window: Sequence[RequestLog]) -> tuple[int, int]:
        """Add the new lines of a window to the history. Return its place there: (start, end)."""
        known, count = self.lines, len(window)
        for start in range(max(0, len(known) - count), len(known)):
            overlap = len(known) - start
            if known[start] == window[0] and known[start:] == list(window[:overlap]):
                news = window[overlap:]
                if not any(map(self._is_old, news)):
                    self._add(news)
                    return start, start + count
        for start in range(len(known) - count + 1):
            if known[start] == window[0] and known[start : start + count] == list(window):
                return (
                    start,
                    start + count,
                )  # an older window, from a replica that does not have the newest lines
        return self._add(self._not_known_in(window))

    def place_after(self, at: int, lines: Sequence[RequestLog]) -> tuple[int, int]:
        """Do the same as `place` for lines that directly follow index `at` of the history."""
        known = self.lines[at : at + len(lines)]
        if known != list(lines[: len(known)]):
            return self._add(lines)
        self._add(lines[len(known) :])
        return at, at + len(lines)

    def _add(self, lines: Sequence[RequestLog]) -> tuple[int, int]:
        start = len(self.lines)
        self.lines.extend(lines)
        self._counts.update(lines)
        return (start, len(self.lines)) if lines else (0, 0)

    def _is_old(self, line: RequestLog) -> bool:
        """Return whether the line is known, and its timestamp is another one than that of the last line."""
        return bool(line.timestamp) and line in self._counts and line.timestamp != self.lines[-1].timestamp

    def _not_known_in(self, window: Sequence[RequestLog]) -> list[RequestLog]:
        """Return the new lines of a window that does not continue the history: it has a gap or inserted lines."""
        if not self.lines or self.lines[-1] not in window:
            return [line for line in window if not self._is_old(line)]
        seen: Counter[RequestLog] = Counter()
        news = []
        for line in window:
            seen[line] += 1
            if seen[line] > self._counts[line]:
                news.append(line)
        return news


class NewLogs:
    """Finds the log lines that were in no earlier response to the same follower of a request."""

    __slots__ = ("_at", "_history", "_is_incremental", "_last", "_of_stream", "_shown")

    def __init__(self, history: LogHistory) -> None:
        self._history = history
        self._shown = 0
        self.begin_stream()

    def take(self, window: Sequence[RequestLog]) -> tuple[RequestLog, ...]:
        """Return the new lines of the response to a poll, which has the newest lines, or all of them."""
        return self._news(*self._history.place(window)) if window else ()

    def begin_stream(self) -> None:
        """Prepare for a new stream, which sends all lines again."""
        self._at: int | None = None
        self._is_incremental = False
        self._of_stream: list[RequestLog] = []
        self._last: Sequence[RequestLog] = ()

    def take_event(self, lines: Sequence[RequestLog]) -> tuple[RequestLog, ...]:
        """Return the new lines of a stream's event. Its lines follow those of earlier events (protocol 4.3)."""
        if not lines:
            return ()
        if self._at is None:
            start, self._at = self._history.place(lines)
            self._of_stream, self._last = list(lines), lines
            return self._news(start, self._at)
        added = self._added_by(lines)
        self._of_stream += added
        self._last = lines
        start, self._at = self._history.place_after(self._at, added)
        return self._news(start, self._at)

    def _added_by(self, lines: Sequence[RequestLog]) -> Sequence[RequestLog]:
        before = len(self._of_stream)
        if not self._is_incremental and len(lines) > before and list(lines[:before]) == self._of_stream:
            return lines[before:]  # this server sends all earlier lines again in each event
        if lines == self._last and all(line.timestamp for line in lines):
            return ()  # the event was sent twice
        self._is_incremental = True
        return lines

    def _news(self, start: int, end: int) -> tuple[RequestLog, ...]:
        news = self._history.lines[max(self._shown, start) : end]
        self._shown = max(self._shown, end)
        return tuple(news)
