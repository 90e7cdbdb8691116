"""What a fault makes of one value of a stream: bytes, pauses and ends (protocol 5.1): pure."""

from __future__ import annotations

from typing import Any

import attrs

from fal_async.emulator.faults.fault import Fault
from fal_async.emulator.faults.mangling import spoil_document
from fal_async.emulator.wire.sse import Event, cut_in_character, cut_in_event, encode

_SPOILT = frozenset({"missing", "replace"})


@attrs.frozen
class Piece:
    """Write `data`, then wait `pause` seconds, then, with `end`, end: by "reset", "close" or "in order"."""

    data: bytes = b""
    pause: float = 0.0
    end: str | None = None


def pieces(value: Any, number: int, fault: Fault | None) -> list[Piece]:
    """What is sent for value `number`, counted from 1; 0 stands for the moment after the headers."""
    spoilt = spoil_document(fault, value) if _is_spoilt(fault, value) and fault is not None else value
    data = b"" if number == 0 else _bytes(spoilt)
    if fault is None:
        return [Piece(data)]
    if fault.kind == "drip":
        return [Piece(data[at : at + 1], fault.seconds) for at in range(len(data))]
    if fault.kind == "duplicate":
        return [Piece(data), Piece(data)]
    return _struck(data, fault) if number == fault.events else [Piece(data)]


def _is_spoilt(fault: Fault | None, value: Any) -> bool:
    return fault is not None and fault.kind in _SPOILT and isinstance(value, dict)


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | bytearray) else encode(value)


def _struck(data: bytes, fault: Fault) -> list[Piece]:
    if fault.kind == "truncate":
        cut = cut_in_character(data) if fault.cut == "character" else cut_in_event(data)
        return [Piece(cut, end="in order" if fault.cut == "clean" else "close")]
    if fault.kind == "wrong_json":
        text = cut_in_event(data).decode(errors="ignore") if fault.body is None else f"data: {fault.body}"
        return [Piece(f"{text.rstrip()}\n\n".encode())]
    if fault.kind == "event":
        return [Piece(data), Piece(encode(Event(fault.body or "", fault.event_type)))]
    if fault.kind == "stall" and fault.where == "body":
        return [Piece(data, fault.seconds)]
    return [Piece(data, end=fault.kind if fault.kind in ("reset", "close") else None)]
