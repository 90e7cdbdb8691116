"""The frames of a realtime session as the server framework sends and reads them (protocol 6.3): pure."""

from __future__ import annotations

import json
import struct
from typing import Any

import attrs

from fal_async.emulator.faults.fault import Fault
from fal_async.emulator.faults.mangling import spoil_document
from fal_async.emulator.wire.sse import cut_in_event, to_text

UNAUTHORIZED = '{"status":"error","error":"Unauthorized"}'
TIMEOUT = to_text(
    {"type": "x-fal-error", "error": "TIMEOUT", "reason": "no inputs for a while; connect again when needed"}
)


def internal_error(reason: str) -> str:
    return to_text({"type": "x-fal-error", "error": "INTERNAL_ERROR", "reason": reason})


def timings(seconds: float) -> str:
    return to_text({"type": "x-fal-message", "action": "timings", "timing": seconds})


def decode(data: str | bytes, codec: str) -> Any:
    """An input. ValueError where this app can't read it."""
    if codec == "json":
        return json.loads(data)
    if isinstance(data, str):
        raise ValueError("expected a binary frame")
    import msgpack  # an extra: only who serves realtime needs it

    return msgpack.unpackb(data, strict_map_key=False)


def encode(value: Any, codec: str) -> str | bytes:
    """`codec="raw"`: a frame as an application made it."""
    if codec == "raw":
        frame: str | bytes = value
        return frame
    if codec == "json":
        return to_text(value)
    import msgpack

    packed: bytes = msgpack.packb(value)
    return packed


@attrs.frozen
class Step:
    """Send `frame`, then be silent for `pause` seconds, then, with `end`, end.

    `end`: "reset", "close" (the connection), "torn" (`frame` goes out by half first), or a close code.
    """

    frame: str | bytes | None = None
    pause: float = 0.0
    end: str | int | None = None


def steps(value: Any, number: int, fault: Fault | None, codec: str) -> list[Step]:
    """What is sent for message `number`, counted from 1; 0 stands for the moment after the handshake."""
    if fault is None:
        return [Step(encode(value, codec))] if number else []
    if fault.kind in ("missing", "replace") and isinstance(value, dict):
        value = spoil_document(fault, value)
    plain = [Step(encode(value, codec))] if number else []
    if fault.kind == "duplicate":
        return plain * 2
    return _struck(plain, fault, codec) if number == fault.events else plain


def _struck(plain: list[Step], fault: Fault, codec: str) -> list[Step]:
    if fault.kind in ("reset", "close"):
        return [*plain, Step(end=fault.kind)]
    if fault.kind == "stall" and fault.where == "body":
        return [*plain, Step(pause=fault.seconds)]
    if fault.kind == "ws_close":
        return [*plain, Step(end=fault.code)]
    if fault.kind == "frame":
        body = fault.body or ""
        return [*plain, Step(encode(json.loads(body), "msgpack") if fault.binary else body)]
    if fault.kind == "truncate" and plain:
        return [Step(plain[0].frame, end="torn")]
    if fault.kind == "wrong_json" and plain:
        return [Step(_broken(plain[0].frame, fault, codec))]
    return plain


def _broken(frame: str | bytes | None, fault: Fault, codec: str) -> str | bytes:
    """A complete frame whose content breaks off, or exactly this text."""
    if fault.body is not None:
        return fault.body if codec == "json" else fault.body.encode()
    return frame[: max(len(frame) // 2, 1)] if isinstance(frame, str) else cut_in_event(frame or b"")


def torn(frame: str | bytes) -> bytes:
    """The first half of a frame on the wire: its header promises all of it (RFC 6455, 5.2)."""
    data = frame.encode() if isinstance(frame, str) else frame
    first = 0x81 if isinstance(frame, str) else 0x82
    return struct.pack(">BBQ", first, 127, len(data)) + data[: len(data) // 2]
