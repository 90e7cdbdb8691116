"""The SSE decoder compared with the WHATWG rules, a slow reference decoder, and arbitrary chunking."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fal_async.errors import ResponseDecodeError
from fal_async.protocol.sse import ServerSentEvent, SSEDecoder

# --- a reference decoder, as close to the standard's wording as possible ---------------------------------


def reference(stream: bytes) -> tuple[list[ServerSentEvent], str, int | None]:
    """Return events, last event id and retry of a whole stream (WHATWG HTML 9.2.6, in its order)."""
    text = stream.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    events: list[ServerSentEvent] = []
    data = event = id_buffer = last_id = ""
    retry = event_retry = None
    for line in re.split("\r\n|\r|\n", text)[:-1]:
        if line == "":
            last_id = id_buffer
            if data:
                event_type = event or "message"
                events.append(
                    ServerSentEvent(data=data[:-1], event=event_type, id=last_id, retry=event_retry)
                )
            data, event, event_retry = "", "", None
            continue
        field, _, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if field == "event":
            event = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            id_buffer = value
        elif field == "retry" and re.fullmatch("[0-9]{1,10}", value):
            retry = event_retry = int(value)
    return events, last_id, retry


def outcome(decoder: SSEDecoder, chunks: list[bytes]) -> tuple[list[ServerSentEvent], str, int | None]:
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events, decoder.last_event_id, decoder.retry


def decode(*chunks: bytes) -> list[ServerSentEvent]:
    return outcome(SSEDecoder(), list(chunks))[0]


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


# --- strategies: bytes that look like event streams often enough to reach every branch -------------------

FRAGMENTS = [
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b":", b" ", b"\0", b"\xef\xbb\xbf"),
    *(
        b"data",
        b"data:",
        b"data: x",
        b"data: \xc3\xa9\n\n",
        b"event: e",
        b"event:",
        b"id: 7",
        b"id:",
        b"id: a\0",
    ),
    *(b"retry: 250", b"retry: -1", b"retry:", b"retry: 99999999999", b": ping", b"nonsense: 1", b"DATA: x"),
    *(b"\xf0\x9f\x98\x80", b"\xf0\x9f", b"\xe2\x82", b"\xff", b"\xed\xa0\x80", b"\xc0\xaf"),
    *(b"\xc2\x85", b"\xe2\x80\xa8", b"\x0b", b"\x0c", b"\x1c"),  # line ends for str.splitlines, but not here
]
STREAMS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=4)), max_size=40).map(b"".join)
PLACES = st.lists(st.integers(min_value=0, max_value=400), max_size=30)

_TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)
EVENTS = st.builds(
    ServerSentEvent,
    data=st.lists(_TEXT, min_size=1, max_size=4).map("\n".join),
    event=_TEXT.filter(bool),
    id=_TEXT.filter(lambda text: "\0" not in text),
    retry=st.none() | st.integers(min_value=0, max_value=10**10 - 1),
)


def encode(event: ServerSentEvent, line_end: str) -> bytes:
    lines = [f"data: {line}" for line in event.data.split("\n")]
    lines += [f"event: {event.event}", f"id: {event.id}", ": a comment"]
    lines += [] if event.retry is None else [f"retry: {event.retry}"]
    return "".join(line + line_end for line in [*lines, ""]).encode()


# --- the rules -------------------------------------------------------------------------------------------

E = ServerSentEvent
CASES = [
    pytest.param(b"", [], id="nothing"),
    pytest.param(b"data: a\n\n", [E(data="a")], id="LF"),
    pytest.param(b"data: a\r\r", [E(data="a")], id="CR"),
    pytest.param(b"data: a\r\n\r\n", [E(data="a")], id="CRLF"),
    pytest.param(b"data: a\r\ndata: b\rdata: c\n\r\n", [E(data="a\nb\nc")], id="mixed line ends"),
    pytest.param(b"data: a\n\rdata: b\n\n", [E(data="a"), E(data="b")], id="LF CR is two line ends"),
    pytest.param(b"data: YHOO\ndata: +2\ndata: 10\n\n", [E(data="YHOO\n+2\n10")], id="standard: stock"),
    pytest.param(
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
        [E(data="first event", id="1"), E(data="second event")],
        id="standard: comment, id, reset id, unfinished",
    ),
    pytest.param(b"data\n\ndata\ndata\n\ndata:", [E(data=""), E(data="\n")], id="standard: empty data"),
    pytest.param(b"data:test\n\ndata: test\n\n", [E(data="test")] * 2, id="standard: one space"),
    pytest.param(b"data:  two \n\ndata:\ttab\n\n", [E(data=" two "), E(data="\ttab")], id="only one space"),
    pytest.param(b"data: a: b:c\n\n", [E(data="a: b:c")], id="colons in the value"),
    pytest.param(b"data : a\n data: b\nDATA: c\ndatax: d\n\n", [], id="names are exact"),
    pytest.param(b"\xef\xbb\xbfdata: a\n\n", [E(data="a")], id="BOM"),
    pytest.param(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", [], id="a second BOM is text"),
    pytest.param(b"\n\xef\xbb\xbfdata: a\n\n", [], id="a later BOM is text"),
    pytest.param(b"data: \xef\xbb\xbf\n\n", [E(data="\ufeff")], id="a BOM in data is kept"),
    pytest.param(b"event: e\ndata: a\n\ndata: b\n\n", [E(data="a", event="e"), E(data="b")], id="event"),
    pytest.param(b"event: e\n\ndata: b\n\n", [E(data="b")], id="event reset without data"),
    pytest.param(b"event: e\nevent: f\ndata: a\n\n", [E(data="a", event="f")], id="last event wins"),
    pytest.param(b"event: e\nevent:\ndata: a\n\n", [E(data="a")], id="empty event is message"),
    pytest.param(b"id: 1\ndata: a\n\ndata: b\n\n", [E(data="a", id="1"), E(data="b", id="1")], id="id stays"),
    pytest.param(b"id: 1\n\ndata: b\n\n", [E(data="b", id="1")], id="id without data"),
    pytest.param(b"id: 1\nid: 2\0\ndata: a\n\n", [E(data="a", id="1")], id="id with NUL"),
    pytest.param(b"retry: 10\ndata: a\n\ndata: b\n\n", [E(data="a", retry=10), E(data="b")], id="retry"),
    pytest.param(
        b"retry: 1s\nretry:\nretry: -1\nretry:  5\ndata: a\n\n", [E(data="a")], id="retry: not digits"
    ),
    pytest.param("retry: \u0663\ndata: a\n\n".encode(), [E(data="a")], id="retry: ASCII digits only"),
    pytest.param(b"retry: " + b"9" * 5000 + b"\ndata: a\n\n", [E(data="a")], id="retry: absurd"),
    pytest.param(b"data: a\xff\xe2\x82\ndata: b\n\n", [E(data="a\ufffd\ufffd\nb")], id="invalid UTF-8"),
    pytest.param(b"data: \xed\xa0\x80\xf0\x80\x80\n\n", [E(data="\ufffd" * 6)], id="surrogate, overlong"),
    pytest.param(
        "data: a\u2028b\u0085c\x0bd\n\n".encode(), [E(data="a\u2028b\u0085c\x0bd")], id="other breaks"
    ),
    pytest.param(b"data: \0\n\n", [E(data="\0")], id="NUL in data"),
]


@pytest.mark.parametrize(("stream", "expected"), CASES)
def test_event_streams_are_decoded_by_the_whatwg_rules(
    stream: bytes, expected: list[ServerSentEvent]
) -> None:
    assert decode(stream) == expected
    assert decode(*(stream[at : at + 1] for at in range(len(stream)))) == expected
    assert reference(stream)[0] == expected


def test_an_event_is_returned_with_the_first_byte_of_its_closing_line_end() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\r\n\r") == [E(data="a")]
    assert not decoder.incomplete
    assert decoder.feed(b"\ndata: b\r") == []
    assert decoder.feed(b"") == []
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"\r") == [E(data="b")]


def test_the_decoder_reports_retry_and_last_event_id() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b": ping\n:\n\nretry: 1500\nid: 8\n") == []
    assert (decoder.retry, decoder.last_event_id) == (1500, "")
    assert decoder.feed(b"\n") == []
    assert decoder.last_event_id == "8"
    assert decoder.feed(b"retry: x\nid\n\n") == []
    assert (decoder.retry, decoder.last_event_id) == (1500, "")


@pytest.mark.parametrize(
    "rest", [b"d", b"data: a", b"data: a\n", b"data\n", b"event: x\n", b"id: 1\n", b": pi"]
)
def test_a_stream_that_ends_within_an_event_is_reported_as_incomplete(rest: bytes) -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: whole\n\n" + rest) == [E(data="whole")]
    assert decoder.incomplete
    decoder.feed(b"\n\n")
    assert not decoder.incomplete


@pytest.mark.parametrize(
    "stream", [b"", b"\xef\xbb\xbf", b"data: a\n\n", b"data: a\r\r", b"\n\n: ping\n", b"retry: 1\n"]
)
def test_a_stream_that_ends_between_events_is_not_incomplete(stream: bytes) -> None:
    decoder = SSEDecoder()
    decoder.feed(stream)
    assert not decoder.incomplete


def test_server_sent_events_are_immutable_values() -> None:
    event = E(data="a")
    assert (event.event, event.id, event.retry) == ("message", "", None)
    assert event == E(data="a")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.data = "b"  # type: ignore[misc]


# --- bounded memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [b"data: 12345", b": 123456789", b"data:\ndata:\ndata", b"data: 1\n" * 9])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_an_event_larger_than_the_limit_is_refused(stream: bytes, size: int) -> None:
    decoder = SSEDecoder(max_event_size=10)
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    with pytest.raises(ResponseDecodeError, match="larger than 10 bytes"):
        outcome(decoder, chunks)
    with pytest.raises(ResponseDecodeError):
        decoder.feed(b"\n\ndata: 1\n\n")
    assert decoder.incomplete


def test_the_size_limit_applies_to_each_event_separately() -> None:
    decoder = SSEDecoder(max_event_size=10)
    exactly = b"\xef\xbb\xbf: 34567890\ndata: 7890\n\n"
    assert outcome(decoder, cut(exactly, list(range(40))))[0] == [E(data="7890")]
    assert len(decoder.feed(b"id: 1\n: ping\ndata: 1\n\n" * 50)) == 50


def test_events_before_one_that_is_too_large_are_returned() -> None:
    decoder = SSEDecoder(max_event_size=10)
    assert decoder.feed(b"data: a\n\ndata: " + b"x" * 20) == [E(data="a")]
    assert decoder.incomplete
    with pytest.raises(ResponseDecodeError):
        decoder.feed(b"")


def test_a_huge_event_in_small_chunks_is_decoded_in_linear_time() -> None:
    count, chunk = 262_144, b"x" * 128
    decoder, start = SSEDecoder(), time.process_time()
    decoder.feed(b"data: ")
    for _ in range(count):
        decoder.feed(chunk)
    [event] = decoder.feed(b"\n\n")
    assert len(event.data) == count * len(chunk)
    # Half a second if appending is cheap; copying the buffer with each chunk would move 4 TiB.
    assert time.process_time() - start < 15


@given(STREAMS, PLACES)
def test_feed_light_returns_the_same_events_as_feed(stream: bytes, places: list[int]) -> None:
    light, full = SSEDecoder(), SSEDecoder()
    for chunk in cut(stream, places):
        events = [E(data=item) if isinstance(item, str) else item for item in light.feed_light(chunk)]
        assert events == full.feed(chunk)


# --- properties ------------------------------------------------------------------------------------------


@given(STREAMS, PLACES)
@example(b"data: a\r\n\r\ndata: b\r\n\r\n", list(range(25)))
@example(b"retry: 10\ndata: a\n\ndata: b\n\n", [10])
@example(b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\ndata: d\n\n", [6, 15, 30])
def test_any_chunking_of_a_stream_gives_the_same_events(stream: bytes, places: list[int]) -> None:
    whole, parts = SSEDecoder(), SSEDecoder()
    assert outcome(parts, cut(stream, places)) == outcome(whole, [stream])
    assert parts.incomplete == whole.incomplete


@given(st.lists(st.binary(max_size=30), max_size=20))
def test_decoding_arbitrary_bytes_as_an_event_stream_never_raises(chunks: list[bytes]) -> None:
    assert outcome(SSEDecoder(), chunks) == reference(b"".join(chunks))


@given(STREAMS, PLACES)
def test_the_decoder_agrees_with_the_slow_reference_decoder(stream: bytes, places: list[int]) -> None:
    assert outcome(SSEDecoder(), cut(stream, places)) == reference(stream)


@given(st.lists(EVENTS, max_size=6), st.sampled_from(["\n", "\r", "\r\n"]), PLACES)
def test_encoded_events_are_decoded_to_equal_events(
    events: list[ServerSentEvent], line_end: str, places: list[int]
) -> None:
    stream = b"".join(encode(event, line_end) for event in events)
    decoder = SSEDecoder()
    assert outcome(decoder, cut(stream, places))[0] == events
    assert not decoder.incomplete


@given(STREAMS, PLACES, st.integers(min_value=1, max_value=40))
@example(b"\xef\xbb\xbf", [1, 2], 1)
@example(b"::data: \xc3\xa9\n\ndata: x\n\n", [1], 9)
def test_chunking_does_not_decide_which_event_is_too_large(
    stream: bytes, places: list[int], limit: int
) -> None:
    def until_refused(chunks: list[bytes]) -> tuple[list[ServerSentEvent], bool]:
        decoder, events = SSEDecoder(max_event_size=limit), list[ServerSentEvent]()
        try:
            for chunk in [*chunks, b""]:
                events += decoder.feed(chunk)
        except ResponseDecodeError:
            return events, True
        return events, False

    assert until_refused(cut(stream, places)) == until_refused([stream])
