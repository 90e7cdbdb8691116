"""The frames of a realtime session, as the server framework sends and reads them (protocol 6.3): pure."""

from __future__ import annotations

import json
import struct
from typing import Any

from fal_async.emulator.wire.sse import to_text

UNAUTHORIZED = '{"status":"error","error":"Unauthorized"}'
TIMEOUT = to_text(
    {"type": "x-fal-error", "error": "TIMEOUT", "reason": "no inputs for a while; connect again when needed"}
)


def internal_error(reason: str) -> str:
    return to_text({"type": "x-fal-error", "error": "INTERNAL_ERROR", "reason": reason})


def timings(seconds: float) -> str:
    return to_text({"type": "x-fal-message", "action": "timings", "timing": seconds})


def decode(data: str | bytes, codec: str) -> Any:
    """Return the input in a frame. Raise ValueError if the frame cannot be decoded."""
    if codec == "json":
        return json.loads(data)
    if isinstance(data, str):
        raise ValueError("expected a binary frame")
    import msgpack  # an extra, which only realtime needs

    return msgpack.unpackb(data, strict_map_key=False)


def encode(value: Any, codec: str) -> str | bytes:
    """Return the frame of a value; with `codec="raw"` the value is already a frame, that of an application."""
    if codec == "raw":
        frame: str | bytes = value
        return frame
    if codec == "json":
        return to_text(value)
    import msgpack

    packed: bytes = msgpack.packb(value)
    return packed


def torn(frame: str | bytes) -> bytes:
    """Return the bytes of a frame that has only half of the payload that its header announces (RFC 6455, 5.2)."""
    data = frame.encode() if isinstance(frame, str) else frame
    first = 0x81 if isinstance(frame, str) else 0x82
    return struct.pack(">BBQ", first, 127, len(data)) + data[: len(data) // 2]
