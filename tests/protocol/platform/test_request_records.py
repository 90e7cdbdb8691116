"""Past requests, and the deletion of what fal keeps of them (protocol 11.10)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fal_async import ConfigurationError, ResponseDecodeError
from fal_async.protocol.http import Operation
from fal_async.protocol.platform.request_records import (
    deletion_request,
    parse_deletion,
    parse_requests,
    parse_search,
    requests_query,
    requests_request,
    search_query,
    search_request,
)
from tests.protocol.platform.recorded import HOSTS, answer, path_of, query_of

ROW = {
    "request_id": "0196f8a2-0000-7000-8000-000000000001",
    "endpoint_id": "fal-ai/flux/dev",
    "started_at": "2026-03-01T12:00:01Z",
    "sent_at": "2026-03-01T12:00:00Z",
    "ended_at": "2026-03-01T12:00:03.5Z",
    "status_code": 200,
    "duration": 2.5,
    "json_input": {"prompt": "a secret"},
    "json_output": {"images": []},
}
OPEN: dict[str, Any] = dict.fromkeys(
    ("start", "end", "status", "request_id", "sort_by", "expand", "limit"), None
)
ANY: dict[str, Any] = {
    **dict.fromkeys(("query", "image_url", "video_url", "ids", "min_similarity", "limit"), None),
    "only_api_requests": False,
    "exclude_api_requests": False,
}


def test_a_past_request_has_times_payloads_and_its_duration_in_seconds() -> None:
    (record,) = parse_requests(answer({"items": [ROW], "next_cursor": None})).items
    assert (record.sent_at, record.ended_at) == (
        datetime(2026, 3, 1, 12, tzinfo=UTC),
        datetime(2026, 3, 1, 12, 0, 3, 500_000, UTC),
    )
    assert (record.status_code, record.duration) == (200, 2.5)
    assert (record.input, record.output) == ({"prompt": "a secret"}, {"images": []})


def test_the_repr_of_a_past_request_does_not_show_its_payloads() -> None:
    (record,) = parse_requests(answer({"items": [ROW]})).items
    assert "secret" not in repr(record)


def test_a_request_that_runs_has_no_end_status_and_payload() -> None:
    running = ROW | {"ended_at": None, "status_code": None, "duration": None}
    del running["json_input"], running["json_output"]
    (record,) = parse_requests(answer({"items": [running]})).items
    assert (record.ended_at, record.status_code, record.duration, record.input) == (None, None, None, None)


def test_a_row_without_an_id_raises_with_its_place() -> None:
    with pytest.raises(ResponseDecodeError) as caught:
        parse_requests(answer({"items": [ROW, {"endpoint_id": "a/b"}]}))
    assert caught.value.paths == ["required field missing @ $.items[1].request_id"]


def test_a_search_result_has_its_similarity() -> None:
    (found,) = parse_search(answer({"results": [ROW | {"similarity": 0.75}]})).items
    assert (found.similarity, found.request_id) == (0.75, ROW["request_id"])


def test_requests_of_endpoints_send_every_filter() -> None:
    query = requests_query(
        ["a/b", "c/d"],
        start=0,
        end=3600,
        status="error",
        request_id="r-1",
        sort_by="duration",
        expand="payloads",
        limit=100,
    )
    request = requests_request(HOSTS, query, "Mg==")
    assert path_of(request) == "/v1/models/requests/by-endpoint"
    assert query_of(request) == [
        ("endpoint_id", "a/b"),
        ("endpoint_id", "c/d"),
        ("start", "1970-01-01T00:00:00Z"),
        ("end", "1970-01-01T01:00:00Z"),
        ("status", "error"),
        ("request_id", "r-1"),
        ("sort_by", "duration"),
        ("expand", "payloads"),
        ("limit", "100"),
        ("cursor", "Mg=="),
    ]


@pytest.mark.parametrize("wrong", [{"limit": 101}, {"limit": 0}, {"status": 5}, {"start": 9, "end": 9}])
def test_wrong_filters_of_requests_raise_before_sending(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        requests_query("a/b", **(OPEN | wrong))


def test_a_search_sends_what_is_given_and_true_flags_alone() -> None:
    given = {"query": "a cat", "ids": "a/b", "only_api_requests": True, "min_similarity": 0.5, "limit": 3}
    assert query_of(search_request(HOSTS, search_query(**(ANY | given)))) == [
        ("query", "a cat"),
        ("endpoint_id", "a/b"),
        ("only_api_requests", "true"),
        ("min_similarity", "0.5"),
        ("limit", "3"),
    ]
    assert search_query(**ANY) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"query": "a", "image_url": "https://x"}, "query and image_url: expected at most one"),
        ({"only_api_requests": True, "exclude_api_requests": True}, "expected at most one of them"),
        ({"only_api_requests": "yes"}, "only_api_requests='yes'"),
        ({"min_similarity": 1.5}, "min_similarity=1.5: expected a number from 0 to 1"),
        ({"min_similarity": True}, "min_similarity=True"),
        ({"query": 5}, "query is of type int"),
    ],
)
def test_arguments_of_a_search_that_exclude_each_other_raise(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        search_query(**(ANY | wrong))


def test_a_deletion_carries_its_idempotency_key_and_is_harmless_to_repeat() -> None:
    request = deletion_request(HOSTS, "r/1", "key-1")
    assert (request.method, path_of(request)) == ("DELETE", "/v1/models/requests/r%2F1/payloads")
    assert request.headers["Idempotency-Key"] == "key-1"
    assert (request.operation, request.harmless, request.needs) == (Operation.WRITE, True, "an admin key")
    assert request.request_id == "r/1"


def test_a_deletion_lists_each_file_with_the_reason_if_it_stayed() -> None:
    rows = [{"link": "https://v3.fal.media/a", "exception": None}, {"link": "https://b", "exception": "gone"}]
    first, second = parse_deletion(answer({"cdn_delete_results": rows}))
    assert (first.url, first.error) == ("https://v3.fal.media/a", None)
    assert second.error == "gone"
