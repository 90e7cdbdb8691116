"""Frames of HTTP over WebSocket."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.config import Settings
from fal_async.errors import RealtimeError
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.http_over_websocket import Body, End, Exchange, Start, websocket_url


def frame(kind: str, **more: Any) -> str:
    return json.dumps({"type": kind, "request_id": "r", "status": 200, **more})


def test_the_frames_of_an_exchange_are_start_body_and_end() -> None:
    exchange = Exchange()
    start = exchange.take(frame("start", headers={"Content-Type": "text/plain"}))
    assert start == Start(request_id="r", status=200, headers={"content-type": "text/plain"})
    assert exchange.take(b"\x00") == Body(b"\x00")
    assert exchange.take("text") == Body(b"text")
    end = exchange.take(frame("end", time_to_first_byte_seconds=0.5))
    assert end == End(status=200)


@pytest.mark.parametrize(
    "body",
    [
        '{"type":"end","request_id":"other","status":200}',
        '{"type":"end"}',
        '{"type":"start"}',
        '{"type":"x","request_id":"r"}',
        "{",
        "[]",
        "",
        "{" * 10_000,
    ],
)
def test_a_body_frame_that_looks_like_a_control_frame_stays_body(body: str) -> None:
    exchange = Exchange()
    exchange.take(frame("start"))
    assert exchange.take(body) == Body(body.encode())


def test_a_control_frame_out_of_place_raises_realtime_error() -> None:
    for first in ("text", b"x", frame("end")):
        with pytest.raises(RealtimeError, match="'start' frame"):
            Exchange().take(first)
    exchange = Exchange()
    exchange.take(frame("start", status=None, headers=None))
    with pytest.raises(RealtimeError, match="'start'"):
        exchange.take(frame("start"))


@given(st.lists(st.binary(max_size=20) | st.text(max_size=20), max_size=10))
def test_no_byte_of_a_body_is_lost_between_start_and_end_frame(frames: list[str | bytes]) -> None:
    exchange, body = Exchange(), b""
    exchange.take(frame("start"))
    for piece in frames:
        part = exchange.take(piece)
        assert isinstance(part, Body)
        body += part.data
    assert body == b"".join(piece.encode() if isinstance(piece, str) else piece for piece in frames)
    assert exchange.take(frame("end", status=204)) == End(status=204)


def test_the_websocket_url_has_the_whole_endpoint_id() -> None:
    assert websocket_url(Settings(), EndpointId.parse("me/app", "stream")) == "wss://ws.fal.run/me/app/stream"
