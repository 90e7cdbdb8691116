"""Kinds of fault that insert something into a stream or a session."""

from __future__ import annotations

import json
from typing import ClassVar

import attrs

from fal_async.emulator.faults.effect import InTheMiddle, Piece, Step
from fal_async.emulator.faults.fault_fields import needed
from fal_async.emulator.wire.realtime_frames import encode as encode_frame
from fal_async.emulator.wire.sse import Event, encode


@attrs.frozen(kw_only=True)
class ExtraEvent(InTheMiddle):
    kind = "event"
    operations: ClassVar[frozenset[str]] = frozenset({"stream", "websocket"})

    body: str | None
    event_type: str | None

    def in_stream(self, data: bytes) -> list[Piece]:
        return [Piece(data), Piece(encode(Event(self.body or "", self.event_type)))]


@attrs.frozen(kw_only=True)
class ExtraFrame(InTheMiddle):
    kind = "frame"
    operations: ClassVar[frozenset[str]] = frozenset({"realtime"})

    body: str = attrs.field(validator=needed)
    binary: bool

    def in_session(self, plain: list[Step], codec: str) -> list[Step]:
        frame = encode_frame(json.loads(self.body), "msgpack") if self.binary else self.body
        return [*plain, Step(frame)]


@attrs.frozen(kw_only=True)
class WsClose(InTheMiddle):
    kind = "ws_close"
    operations: ClassVar[frozenset[str]] = frozenset({"realtime"})

    code: int = attrs.field(validator=needed)
    body: str | None

    def in_session(self, plain: list[Step], codec: str) -> list[Step]:
        return [*plain, Step(end=self.code, reason=self.body or "")]
