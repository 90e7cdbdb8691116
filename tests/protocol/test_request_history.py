"""Reading the request history, and finding the lost submit in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async import Hosts, ResponseDecodeError
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.json_input import digest_of
from fal_async.protocol.request_history import (
    MARGIN,
    LostSubmit,
    Page,
    PastRequest,
    Window,
    best_match,
    clock_ahead,
    history_request,
    is_by_sending,
    is_enough,
    kept_result,
    parse_history,
    windows,
)

LOST = LostSubmit(endpoint_id="a/b/c", input_digest="d", started_at=1000.0, ended_at=1010.0)


def page(document: Any) -> HttpResponse:
    return HttpResponse(status=200, headers={}, body=json.dumps(document).encode())


def test_the_history_request_has_its_window_and_cursor_in_the_query() -> None:
    window = Window(start=880.0, end=1130.0)
    request = history_request(Hosts(), "a/b/c", window, cursor="next/1")
    parts = urlsplit(request.url)
    assert parts.geturl().startswith("https://api.fal.ai/v1/models/requests/by-endpoint?")
    assert parse_qs(parts.query) == {
        "endpoint_id": ["a/b/c"],
        "start": ["1970-01-01T00:14:40.000Z"],
        "end": ["1970-01-01T00:18:50.000Z"],
        "expand": ["payloads"],
        "limit": ["100"],
        "cursor": ["next/1"],
    }
    assert "cursor" not in history_request(Hosts(), "a/b/c", window).url


def test_the_history_request_for_one_id_has_no_window() -> None:
    request = history_request(Hosts(), "a/b", request_id="r-1", payloads=False)
    assert parse_qs(urlsplit(request.url).query) == {
        "endpoint_id": ["a/b"],
        "request_id": ["r-1"],
        "limit": ["100"],
    }


def test_a_page_of_the_request_history_is_parsed() -> None:
    sent = datetime(2026, 1, 1, tzinfo=UTC)
    items = [
        {
            "request_id": "1",
            "sent_at": "2026-01-01T00:00:00Z",
            "json_input": {"b": 1.0, "a": "é"},
            "ended_at": "2026-01-01T00:00:09Z",
        },
        {"request_id": "2", "started_at": "2026-01-01T00:00:00", "json_input": None},
        {"request_id": "3", "sent_at": "never"},
        {"request_id": 4},
        "5",
    ]
    assert parse_history(page({"items": items, "next_cursor": "x"})) == Page(
        items=(
            PastRequest(
                request_id="1",
                sent_at=sent.timestamp(),
                ended_at=sent.timestamp() + 9,
                input_digest=digest_of('{"a":"é","b":1}'.encode()),
            ),
            PastRequest(request_id="2", sent_at=sent.timestamp()),
            PastRequest(request_id="3"),
        ),
        next_cursor="x",
    )
    assert parse_history(page({"items": [], "next_cursor": None})) == Page(items=())


@pytest.mark.parametrize("document", [None, [], {}, {"items": 5}, "x"])
def test_a_history_response_without_items_is_a_decode_error(document: Any) -> None:
    with pytest.raises(ResponseDecodeError, match="no items"):
        parse_history(page(document))


def past(request_id: str, sent_at: float | None, digest: str | None = "d") -> PastRequest:
    return PastRequest(request_id=request_id, sent_at=sent_at, input_digest=digest)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([], None),
        ([past("other", 1005, "e"), past("hidden", 1005, None)], None),
        ([past("before", 990), past("in", 1001), past("after", 1012)], "in"),
        ([past("first", 1001), past("last", 1009)], "last"),
        ([past("before", 995), past("after", 1012)], "after"),
        ([past("before", 999), past("after", 1012)], "before"),
        ([past("unknown", None), past("before", 999)], "before"),
        ([past("unknown", None)], "unknown"),
        ([past("too early", 879), past("too late", 1131)], None),
    ],
)
def test_the_best_match_is_the_request_sent_closest_to_the_attempt(
    items: list[PastRequest], expected: str | None
) -> None:
    found = best_match(LOST, items)
    assert (found.request_id if found else None) == expected
    assert best_match(LOST, items, exclude=[item.request_id for item in items]) is None


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([past("first", 1001), past("second", 1009)], "first"),
        ([past("a second before", 999), past("long after", 90_000)], "a second before"),
        ([past("before", 990), past("long after", 90_000)], "long after"),
        ([past("before", 990), past("unknown", None)], "before"),
    ],
)
def test_the_best_match_without_a_known_end_is_the_first_after_the_beginning(
    items: list[PastRequest], expected: str
) -> None:
    found = best_match(attrs.evolve(LOST, ended_at=None), items)
    assert found is not None
    assert found.request_id == expected


@given(st.floats(0, 5e9), st.one_of(st.none(), st.floats(0, 1e6)), st.floats(-1e4, 1e7).map(lambda age: age))
def test_the_search_windows_cover_the_time_until_now_without_a_gap(
    started: float, lasted: float | None, age: float
) -> None:
    ended = None if lasted is None else started + lasted
    lost = attrs.evolve(LOST, started_at=started, ended_at=ended)
    now = (started if ended is None else ended) + age
    near, before, *later = windows(lost, now)
    assert before.start == started - MARGIN
    assert before.end == near.start
    assert [window.start for window in later] == [near.end, *(window.end for window in later)][: len(later)]
    assert all(window.start < window.end for window in [near, before, *later])
    assert (later or [near])[-1].end >= now
    assert len(later) <= 6


def test_rows_reveal_that_the_history_filters_by_the_time_of_sending() -> None:
    window = Window(start=100.0, end=200.0)
    inside = PastRequest(request_id="1", sent_at=110.0, ended_at=120.0)
    assert not is_by_sending(window, [inside, attrs.evolve(inside, sent_at=90.0)])
    assert is_by_sending(window, [inside, attrs.evolve(inside, ended_at=200.0)])
    assert is_by_sending(window, [attrs.evolve(inside, ended_at=None)])


@pytest.mark.parametrize(
    ("match", "start", "by_sending", "enough"),
    [
        (None, 1015, False, False),
        (None, 1015, True, False),
        (None, 1200, False, False),
        (None, 1200, True, True),
        (past("in", 1005), 880, False, True),
        (past("after", 1014), 880, False, True),
        (past("further", 1050), 1015, False, False),
        (past("further", 1050), 1130, False, True),
        (past("unknown", None), 1130, False, False),
    ],
)
def test_the_history_search_stops_when_a_match_is_close_enough(
    match: PastRequest | None, start: float, by_sending: bool, enough: bool
) -> None:
    window = Window(start=start, end=5000)
    assert is_enough(LOST, match, window, by_sending=by_sending) is enough


@pytest.mark.parametrize(
    ("date", "now", "ahead"),
    [
        ("Thu, 01 Jan 1970 00:16:40 GMT", 1000.9, 0.0),
        ("Thu, 01 Jan 1970 00:16:40 GMT", 990.0, 10.0),
        ("Thu, 01 Jan 1970 00:16:40 GMT", 4600.0, -3600.0),
        ("now", 1000.0, 0.0),
        (None, 1000.0, 0.0),
    ],
)
def test_the_difference_between_clocks_is_read_from_the_date_header(
    date: str | None, now: float, ahead: float
) -> None:
    response = HttpResponse(status=200, headers={} if date is None else {"date": date}, body=b"")
    assert clock_ahead(response, now) == ahead


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_the_digest_of_a_json_text_does_not_depend_on_its_formatting(value: Any) -> None:
    written = json.dumps(value, indent=2, ensure_ascii=True).encode()
    again = json.dumps(json.loads(written), sort_keys=True).encode()
    assert digest_of(written) == digest_of(again)


@pytest.mark.parametrize("output", ["half of a pair: \ud800", {"a": ["\udfff", 1.5, None]}, "plain"])
def test_an_output_from_the_history_becomes_a_result_with_any_text_in_it(output: Any) -> None:
    row = {"request_id": "id-1", "status_code": 200, "json_output": output}
    found = kept_result(page({"items": [row]}), "id-1")
    assert found is not None
    assert found.json() == output
