"""The values of a streaming model as bytes of a body (protocol 5.1): pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs

EVENTS, CHUNKS = "text/event-stream", "application/octet-stream"


@attrs.frozen
class Event:
    """One server-sent event, for an endpoint to yield if a plain value is not enough.

    Attributes:
        data: the text of the event, sent unchanged; a line feed splits it into several data lines. None (default):
            no data line.
        event: the event's type. None (default): no such line.
        id: the event's id. None (default): no such line.
        retry: milliseconds that the client should wait before it reconnects. None (default): no such line.
        comment: text of a comment line. None (default): no such line.
    """

    data: str | None = None
    event: str | None = None
    id: str | None = None
    retry: int | None = None
    comment: str | None = None


def encode(value: Any) -> bytes:
    """Return one event; a value other than an `Event` becomes JSON. TypeError or ValueError if it can't."""
    event = value if isinstance(value, Event) else Event(to_text(value))
    fields = {"": event.comment, "event": event.event, "id": event.id, "retry": event.retry}
    lines = [f"{name}: {text}" for name, text in fields.items() if text is not None]
    lines += [] if event.data is None else [f"data: {line}" for line in event.data.split("\n")]
    return "".join(f"{line}\n" for line in [*lines, ""]).encode()


def to_text(value: Any) -> str:
    # Without \u escapes: streams then contain multi-byte characters that a client may split in two.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def whole(values: Sequence[Any]) -> Any:
    """Return a stream's result for a plain call: its last value, or all bytes of a binary stream."""
    if values and isinstance(values[0], bytes | bytearray):
        return b"".join(values)
    last = values[-1] if values else None
    return json.loads(last.data or "null") if isinstance(last, Event) else last


def cut_in_event(event: bytes) -> bytes:
    return event[: max(len(event) // 2, 1)]


def cut_in_character(event: bytes) -> bytes:
    """Cut after the first byte of the first multi-byte character, or in the middle if there is none."""
    for at, byte in enumerate(event):
        if byte >= 0xC0:
            return event[: at + 1]
    return cut_in_event(event)
