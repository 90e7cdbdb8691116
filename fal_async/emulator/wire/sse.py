"""The values of a streaming model as bytes of a body (protocol 5.1): pure."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import attrs

EVENTS, CHUNKS = "text/event-stream", "application/octet-stream"
_EVENT = re.compile(rb".*?(?:\n\n|\r\n\r\n)", re.S)


@attrs.frozen
class Event:
    """One server-sent event. An endpoint yields it to set more than the data of an event.

    Attributes:
        data: the event's data, sent unchanged; each line of it becomes a `data:` line. None (default): no `data:`
            line.
        event: the event's type. None (default): no `event:` line.
        id: the event's id. None (default): no `id:` line.
        retry: milliseconds that the client should wait before it reconnects. None (default): no `retry:` line.
        comment: text of a comment line. None (default): no comment.
    """

    data: str | None = None
    event: str | None = None
    id: str | None = None
    retry: int | None = None
    comment: str | None = None


def encode(value: Any) -> bytes:
    """Return the bytes of one event; a value other than an `Event` is its data, as JSON.

    Raise TypeError or ValueError if the value cannot be encoded as JSON.
    """
    event = value if isinstance(value, Event) else Event(to_text(value))
    fields = {"": event.comment, "event": event.event, "id": event.id, "retry": event.retry}
    lines = [f"{name}: {text}" for name, text in fields.items() if text is not None]
    lines += [] if event.data is None else [f"data: {line}" for line in event.data.split("\n")]
    return "".join(f"{line}\n" for line in [*lines, ""]).encode()


def to_text(value: Any) -> str:
    # Without \u escapes, so that streams contain multi-byte characters, which a client may receive in two pieces.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def whole(values: Sequence[Any]) -> Any:
    """Return a stream's result for a plain call: its last value, or all bytes of a binary stream."""
    if values and isinstance(values[0], bytes | bytearray):
        return b"".join(values)
    last = values[-1] if values else None
    return json.loads(last.data or "null") if isinstance(last, Event) else last


async def by_event(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the events of a stream that arrives in any pieces, each with the blank line at its end."""
    rest = b""
    async for piece in pieces:
        rest += piece
        while (event := _EVENT.match(rest)) is not None:
            rest = rest[event.end() :]
            yield event[0]
    if rest:
        yield rest


def cut_in_event(event: bytes) -> bytes:
    return event[: max(len(event) // 2, 1)]


def cut_in_character(event: bytes) -> bytes:
    """Cut after the first byte of the first multi-byte character, or in the middle if there is none."""
    for at, byte in enumerate(event):
        if byte >= 0xC0:
            return event[: at + 1]
    return cut_in_event(event)
