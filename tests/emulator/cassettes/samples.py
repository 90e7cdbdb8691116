"""Cassettes made by hand."""

from __future__ import annotations

from typing import Any

from fal_async.emulator.cassettes.cassette import Cassette, Moment, RecordedAnswer
from fal_async.emulator.cassettes.content import Content

PICTURE = "https://v3.fal.media/files/b/0a8c11ef/cat.png"


def answered(value: Any, *, after: float = 2.0, status: int = 200) -> RecordedAnswer:
    headers = {"content-type": "application/json", "x-fal-billable-units": "1"}
    return RecordedAnswer(after=after, status=status, headers=headers, body=Content("json", value, "compact"))


def cassette(input: Any, result: Any = None, **changes: Any) -> Cassette:
    """Return a queued call that waits for a second, runs for one, and logs a line."""
    entry = {"message": "drawing", "timestamp": "2026-12-01T12:00:01Z", "level": "INFO", "source": "USER"}
    usual: dict[str, Any] = {
        "recorded_at": "2026-12-01T12:00:00Z",
        "via": "queue",
        "endpoint_id": "fal-ai/flux/dev",
        "path": "fal-ai/flux/dev",
        "input": input,
        "request_id": "11111111-2222-4333-8444-555555555555",
        "submit": answered({"status": "IN_QUEUE", "queue_position": 2}, after=0.0),
        "moments": (
            Moment(after=0.0, status="IN_QUEUE", queue_position=2),
            Moment(after=0.5, queue_position=1),
            Moment(after=1.0, status="IN_PROGRESS"),
            Moment(after=1.5, log=entry),
            Moment(after=2.0, status="COMPLETED", document={"metrics": {"inference_time": 0.75}}),
        ),
        "answer": answered({"images": []} if result is None else result),
    }
    return Cassette(**usual | changes)
