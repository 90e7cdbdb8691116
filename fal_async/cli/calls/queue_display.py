"""Shows how a request moves through fal's queue: for people on standard error, for programs as lines of JSON."""

from __future__ import annotations

import time
from typing import Any

import attrs

from fal_async.cli.live_line import QuietLine
from fal_async.cli.messages import PROGRAM
from fal_async.cli.output import OutputLostError, put
from fal_async.models import Completed, InProgress, Queued, QueueStatus, RequestLog, UnknownStatus

_WORDS = {Queued: "IN_QUEUE", InProgress: "IN_PROGRESS", Completed: "COMPLETED"}


class QueueDisplay:
    """Shows one request.

    Args:
        line: where people see it.
        endpoint_id: the endpoint, for the message that says how to find the request.
        as_json: whether each change is also a line of JSON on standard output.
    """

    def __init__(self, line: QuietLine, endpoint_id: str, *, as_json: bool) -> None:
        self._line, self._endpoint_id, self._as_json = line, endpoint_id, as_json
        self._began = time.monotonic()
        self._last: str | None = None

    def submitted(self, request_id: str) -> None:
        """Show the id, by which the request can be found again."""
        self._line.note(f"request {request_id}")
        self._line.show("submitted")

    def moved(self, status: QueueStatus) -> None:
        """Show a status and its new log lines."""
        text = state_text(status)
        if self._as_json and (status.new_logs or text != self._last):
            self._put(status)
        self._last = text
        completed = isinstance(status, Completed)
        if not completed:
            self._line.show(text)
        for log in status.new_logs:
            self._line.note(log.message)
        if completed:
            self._line.note(f"{text} after {time.monotonic() - self._began:.1f} s")

    def _put(self, status: QueueStatus) -> None:
        try:
            put(status_document(status, status.new_logs))
        except OutputLostError as error:
            where = f"{PROGRAM} status {self._endpoint_id} {status.request_id}"
            raise OutputLostError(f"{error}; to look at the request: {where}") from error


def state_text(status: QueueStatus) -> str:
    """Return a status in words."""
    if isinstance(status, Queued):
        return "in queue" if status.position is None else f"in queue, {status.position} ahead"
    if isinstance(status, InProgress):
        return "running"
    if isinstance(status, Completed):
        return "completed" if status.error is None and status.error_type is None else "failed"
    return status.headline


def status_document(status: QueueStatus, logs: tuple[RequestLog, ...]) -> dict[str, Any]:
    """Return a status as the document of `--json`, with these log lines."""
    word = status.status if isinstance(status, UnknownStatus) else _WORDS[type(status)]
    document: dict[str, Any] = {"request_id": status.request_id, "status": word}
    document["logs"] = [attrs.asdict(log) for log in logs]
    if isinstance(status, Queued):
        document["position"] = status.position
    if isinstance(status, Completed):
        document |= {"metrics": status.metrics, "error": status.error, "error_type": status.error_type}
    return document
