"""Reading the history, and telling the lost submit from others."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async import Hosts, ResponseDecodeError
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.json_input import digest_of
from fal_async.protocol.request_history import (
    LostSubmit,
    Page,
    PastRequest,
    best_match,
    history_request,
    parse_history,
)

LOST = LostSubmit(endpoint_id="a/b/c", input_digest="d", started_at=1000.0, ended_at=1010.0)


def page(document: Any) -> HttpResponse:
    return HttpResponse(status=200, headers={}, body=json.dumps(document).encode())


def test_the_request() -> None:
    request = history_request(Hosts(), LOST, "next/1")
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
    assert "cursor" not in history_request(Hosts(), LOST).url


def test_a_page() -> None:
    sent = datetime(2026, 1, 1, tzinfo=UTC)
    items = [
        {"request_id": "1", "sent_at": "2026-01-01T00:00:00Z", "json_input": {"b": 1.0, "a": "é"}},
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
                input_digest=digest_of('{"a":"é","b":1}'.encode()),
            ),
            PastRequest(request_id="2", sent_at=sent.timestamp()),
            PastRequest(request_id="3"),
        ),
        next_cursor="x",
    )
    assert parse_history(page({"items": [], "next_cursor": None})) == Page(items=())


@pytest.mark.parametrize("document", [None, [], {}, {"items": 5}, "x"])
def test_what_is_no_page(document: Any) -> None:
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
    ],
)
def test_the_best_match(items: list[PastRequest], expected: str | None) -> None:
    found = best_match(LOST, items)
    assert (found.request_id if found else None) == expected
    assert best_match(LOST, items, exclude=[item.request_id for item in items]) is None


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
def test_a_digest_does_not_depend_on_how_it_is_written(value: Any) -> None:
    written = json.dumps(value, indent=2, ensure_ascii=True).encode()
    again = json.dumps(json.loads(written), sort_keys=True).encode()
    assert digest_of(written) == digest_of(again)
