"""What a model that streams yields, as bytes of a body (protocol 5.1): pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs

EVENTS, CHUNKS = "text/event-stream", "application/octet-stream"


@attrs.frozen
class Event:
    """One server-sent event, where a plain value won't do. An endpoint may yield it.

    `data` goes out as it stands (a line feed makes it several data lines; None: no data line at all);
    `event`, `id`, `retry` (milliseconds) and `comment` are lines of their own.
    """

    data: str | None = None
    event: str | None = None
    id: str | None = None
    retry: int | None = None
    comment: str | None = None


def encode(value: Any) -> bytes:
    """One event; a value that is no `Event` is its JSON. TypeError or ValueError if JSON can't carry it."""
    event = value if isinstance(value, Event) else Event(to_text(value))
    fields = {"": event.comment, "event": event.event, "id": event.id, "retry": event.retry}
    lines = [f"{name}: {text}" for name, text in fields.items() if text is not None]
    lines += [] if event.data is None else [f"data: {line}" for line in event.data.split("\n")]
    return "".join(f"{line}\n" for line in [*lines, ""]).encode()


def to_text(value: Any) -> str:
    # Characters as they are, not as \u escapes: streams then hold what a client may split in two.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def whole(values: Sequence[Any]) -> Any:
    """The result of a stream for who calls it plainly: its last value, or all bytes of a binary one."""
    if values and isinstance(values[0], bytes | bytearray):
        return b"".join(values)
    last = values[-1] if values else None
    return json.loads(last.data or "null") if isinstance(last, Event) else last


def cut_in_event(event: bytes) -> bytes:
    return event[: max(len(event) // 2, 1)]


def cut_in_character(event: bytes) -> bytes:
    """Up to the first byte of its first character of several bytes; in the middle where it has none."""
    for at, byte in enumerate(event):
        if byte >= 0xC0:
            return event[: at + 1]
    return cut_in_event(event)
