"""The meaning of a stream's body and of its events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.config import Settings
from fal_async.options import NO_OPTIONS
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.sse import ServerSentEvent
from fal_async.protocol.streaming import (
    BodyKind,
    Kept,
    Meaning,
    body_kind,
    check_idle_timeout,
    error_detail,
    error_message,
    meaning_of,
    stream_request,
)


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("text/event-stream", BodyKind.EVENTS),
        ("Text/Event-Stream; charset=utf-8", BodyKind.EVENTS),
        ("application/json", BodyKind.JSON),
        ("application/problem+json; charset=utf-8", BodyKind.JSON),
        ("application/octet-stream", BodyKind.CHUNKS),
        ("audio/mpeg", BodyKind.CHUNKS),
        ("text/plain", BodyKind.CHUNKS),
        ("text/html; charset=utf-8", BodyKind.PAGE),
    ],
)
def test_the_content_type_decides_how_a_stream_body_is_read(content_type: str, kind: BodyKind) -> None:
    assert body_kind({"content-type": content_type}) is kind
    assert body_kind({}) is BodyKind.CHUNKS


@pytest.mark.parametrize(
    ("event", "meaning"),
    [
        (ServerSentEvent(data="1"), Meaning.VALUE),
        (ServerSentEvent(data="1", event="progress"), Meaning.VALUE),
        (ServerSentEvent(data=""), Meaning.SKIP),
        (ServerSentEvent(data="", event="ping"), Meaning.SKIP),
        (ServerSentEvent(data="[DONE]"), Meaning.END),
        (ServerSentEvent(data='"[DONE]"'), Meaning.VALUE),
        (ServerSentEvent(data="x", event="error"), Meaning.ERROR),
        (ServerSentEvent(data="", event="error"), Meaning.ERROR),
    ],
)
def test_the_meaning_of_a_stream_event_follows_from_name_and_data(
    event: ServerSentEvent, meaning: Meaning
) -> None:
    assert meaning_of(event) is meaning


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["detail", "error", "message", "msg", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON)
def test_every_error_event_has_a_message(document: Any) -> None:
    assert error_message(error_detail(json.dumps(document)))


@given(st.lists(st.text(max_size=30) | st.binary(max_size=30), max_size=30), st.integers(1, 100))
def test_the_values_kept_of_a_stream_are_the_newest(pieces: list[str | bytes], limit: int) -> None:
    kept = Kept(limit)
    for piece in pieces:
        kept.add(piece if isinstance(piece, bytes) else json.dumps(piece))
        if len(piece) % 3 == 0:
            kept.trim()
    values = kept.values()
    assert kept.count == len(pieces)
    assert values == pieces[len(pieces) - len(values) :]
    assert bool(values) == bool(pieces)


def test_a_stream_request_accepts_an_event_stream_and_has_the_input_as_body() -> None:
    endpoint = EndpointId.parse("me/app", "/stream")
    request = stream_request(Settings(), endpoint, {"a": 1}, NO_OPTIONS)
    assert (request.method, request.url) == ("POST", "https://fal.run/me/app/stream")
    assert request.headers["Accept"] == "text/event-stream"
    assert request.body == b'{"a":1}'


def test_the_idle_timeout_of_a_stream_has_a_default() -> None:
    assert check_idle_timeout(None) == 300
    assert check_idle_timeout(2) == 2


def test_a_deeply_nested_error_event_has_a_message() -> None:
    detail: Any = "at the bottom"
    for _ in range(20_000):
        detail = [{"detail": detail}]
    assert error_message(detail) == "at the bottom"
    assert error_detail("[" * 100_000) == "[" * 100_000
