"""Requests to the queue and their answers (protocol 4)."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import fal_async.errors
import fal_async.models
from fal_async.config import Hosts, Settings
from fal_async.errors import (
    ApiError,
    ConfigurationError,
    FalError,
    NotFoundError,
    RequestRef,
    ResponseDecodeError,
)
from fal_async.models import Completed, RequestLog
from fal_async.options import NO_OPTIONS, CallOptions
from fal_async.protocol.api_errors import error_of
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.http import HttpResponse, Operation, decode_body
from fal_async.protocol.queue import (
    CANCEL_STATUSES,
    Submission,
    cancel_request,
    check_request_id,
    parse_cancel,
    parse_submission,
    rebuilt_urls,
    result_request,
    status_request,
    status_stream_request,
    submit_request,
    urls_of,
)
from fal_async.protocol.queue_status import LogHistory, NewLogs, parse_event, parse_logs, parse_status
from fal_async.protocol.results import check_result, result_error, vanished
from tests.protocol.test_http import json_values
from tests.samples import answer, load, sample_names

ID = "764cabcf-b745-4b3e-ae38-1200304cf45b"
FLUX = EndpointId.parse("fal-ai/flux/dev")
HOSTS = Hosts()
BASE = f"https://queue.fal.run/fal-ai/flux/requests/{ID}"
REF = RequestRef(endpoint_id="fal-ai/flux/dev", request_id=ID)


def expect_error(name: str) -> Any:
    return pytest.raises(getattr(fal_async.errors, name))


# Submit.


@pytest.mark.parametrize("name", sample_names("submit"))
def test_each_recorded_answer_to_a_submit_is_parsed_as_expected(name: str) -> None:
    sample = load("submit", name)
    expected = sample["expected"]
    if "error" in expected:
        with expect_error(expected["error"]) as caught:
            parse_submission(answer(sample))
        assert caught.value.request_id == expected["request_id"]
        return
    submission = parse_submission(answer(sample))
    assert {field: getattr(submission, field) for field in expected} == expected


def test_a_submit_request_has_the_full_endpoint_id_headers_and_body() -> None:
    settings = Settings(tags={"team": "a"})
    request = submit_request(settings, FLUX, b"{}", NO_OPTIONS)
    assert (request.operation, request.method) == (Operation.SUBMIT, "POST")
    assert request.url == "https://queue.fal.run/fal-ai/flux/dev"
    assert request.headers == {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "X-Fal-Tags": "team=a",
    }
    assert (request.body, request.endpoint_id, request.refusal_is_final) == (b"{}", "fal-ai/flux/dev", False)


def test_webhook_and_queue_length_of_a_submit_are_sent_in_the_query() -> None:
    options = CallOptions(max_queue_length=0)
    request = submit_request(Settings(), FLUX, b"{}", options, "https://me.example/hook?a=1&b=ä")
    assert request.url == (
        "https://queue.fal.run/fal-ai/flux/dev"
        "?fal_webhook=https%3A%2F%2Fme.example%2Fhook%3Fa%3D1%26b%3D%C3%A4&fal_max_queue_length=0"
    )
    assert request.refusal_is_final


# URLs.


def test_request_urls_are_rebuilt_without_sub_path_and_suffix() -> None:
    urls = rebuilt_urls(HOSTS, FLUX, ID)
    assert (urls.status, urls.response, urls.cancel) == (f"{BASE}/status", BASE, f"{BASE}/cancel")
    in_namespace = rebuilt_urls(HOSTS, EndpointId.parse("workflows/me/app/run"), "a/b")
    assert in_namespace.response == "https://queue.fal.run/workflows/me/app/requests/a%2Fb"


def test_the_urls_returned_by_submit_are_used() -> None:
    given_urls = Submission(
        request_id=ID,
        status_url="https://queue.fal.run/x/status",
        response_url=f"{BASE}/response",
        cancel_url="https://queue.falrun.com/x/cancel",
    )
    urls = urls_of(HOSTS, FLUX, given_urls)
    assert urls.status == "https://queue.fal.run/x/status"
    assert urls.response == f"{BASE}/response"
    assert urls.cancel == "https://queue.falrun.com/x/cancel"


@given(
    st.text().filter(lambda url: ".fal." not in url.lower())  # sub-domains of fal are accepted
    | st.sampled_from(["https://evil.com/s", "http://queue.fal.run/s", "https://queue.fal.run@e/"])
)
@example("https://evil.com/status")
def test_urls_returned_by_submit_that_lead_elsewhere_are_rebuilt(url: str) -> None:
    elsewhere = Submission(request_id=ID, status_url=url, response_url=url, cancel_url=url)
    assert urls_of(HOSTS, FLUX, elsewhere) == rebuilt_urls(HOSTS, FLUX, ID)


@pytest.mark.parametrize(
    "wrong", ["", " ", "a b", "a/b", "../x", "a?b", "a\n", "ä", "x" * 201, None, 7, b"a"]
)
def test_a_malformed_request_id_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="request id"):
        check_request_id(wrong)


def test_status_result_and_cancel_requests_have_the_right_url_and_method() -> None:
    status = status_request(f"{BASE}/status", REF, logs=False)
    assert (status.method, status.url, status.operation) == ("GET", f"{BASE}/status", Operation.STATUS)
    assert status_request(f"{BASE}/status", REF, logs=True).url == f"{BASE}/status?logs=1"
    assert status_request(f"{BASE}/status?x=1", REF, logs=True).url == f"{BASE}/status?x=1&logs=1"
    stream = status_stream_request(f"{BASE}/status/?x=1", REF, logs=True)
    assert stream.url == f"{BASE}/status/stream?x=1&logs=1"
    assert stream.headers == {"Accept": "text/event-stream"}
    result = result_request(BASE, REF, persistent=True)
    assert (result.method, result.url, result.persistent) == ("GET", BASE, True)
    assert not result_request(BASE, REF, persistent=False).persistent
    cancel = cancel_request(f"{BASE}/cancel", REF)
    assert (cancel.method, cancel.body, cancel.operation) == ("PUT", None, Operation.CANCEL)
    for request in (status, stream, result, cancel):
        assert (request.endpoint_id, request.request_id) == ("fal-ai/flux/dev", ID)


# Status.


@pytest.mark.parametrize("name", sample_names("status"))
def test_each_recorded_status_is_parsed_as_expected(name: str) -> None:
    sample = load("status", name)
    expected = dict(sample["expected"])
    document = answer(sample).json()
    if "error" in expected and "kind" not in expected:
        with expect_error(expected["error"]) as caught:
            parse_status(document, ID)
        assert caught.value.request_id == ID
        assert caught.value.retryable
        return
    status = parse_status(document, ID)
    assert type(status) is getattr(fal_async.models, expected.pop("kind"))
    if "logs" in expected:
        entries = [
            RequestLog(message=m, timestamp=t, level=lv, source=s) for m, t, lv, s in expected.pop("logs")
        ]
        assert list(status.logs) == list(status.new_logs) == entries
    assert {field: getattr(status, field) for field in expected} == expected
    assert status.request_id == ID
    assert status.raw == document
    event = parse_event(json.dumps(document), ID, NewLogs(LogHistory()))
    assert event == status


texts = st.none() | st.text()
words = st.sampled_from(["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]) | st.text()
entries = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("message", "timestamp", "level", "source", "labels"), json_values)
)
documents = json_values | st.fixed_dictionaries(
    {"status": words | json_values},
    optional={
        "queue_position": json_values,
        "logs": json_values | st.lists(entries),
        "metrics": json_values,
        "error": json_values,
        "error_type": json_values,
    },
)


@given(documents)
def test_any_document_is_parsed_as_a_status_or_raises_decode_error(document: Any) -> None:
    try:
        status = parse_status(document, ID, NewLogs(LogHistory()).take)
    except ResponseDecodeError as error:
        assert not isinstance(document, dict) or not isinstance(document.get("status"), str)
        assert error.request_id == ID  # noqa: PT017
        return
    assert status.request_id == ID
    for entry in status.logs:
        assert all(isinstance(value, str) for value in attrs.astuple(entry))
    assert len(status.headline) < 300
    repr(status), str(status)


@given(st.text() | documents.map(json.dumps))
@example("[" * 100_000)
def test_any_event_is_parsed_as_a_status_or_raises_a_retryable_decode_error(data: str) -> None:
    try:
        parse_event(data, ID, NewLogs(LogHistory()))
    except ResponseDecodeError as error:
        assert error.retryable  # noqa: PT017


@given(json_values | st.lists(entries | st.text() | json_values))
def test_log_entries_of_any_form_are_parsed(logs: Any) -> None:
    parsed = parse_logs(logs)
    if isinstance(logs, list):
        assert len(parsed) == sum(isinstance(entry, dict | str) for entry in logs)
    else:
        assert parsed == ()


def log(n: int) -> RequestLog:
    return RequestLog(message=f"line {n}", timestamp=f"t{n}")


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), max_size=20))
def test_a_moving_window_of_logs_gives_each_entry_once(windows: list[tuple[int, int]]) -> None:
    new_logs = NewLogs(LogHistory())
    news: list[RequestLog] = []
    for start, length in windows:
        news += new_logs.take([log(n) for n in range(start, start + length)])
    assert len(news) == len(set(news))
    assert set(news) == {log(n) for start, length in windows for n in range(start, start + length)}


# Result.


@pytest.mark.parametrize("name", sample_names("result"))
def test_each_recorded_result_answer_becomes_the_expected_outcome(name: str) -> None:
    sample = load("result", name)
    expected, response = sample["expected"], answer(sample)
    if response.status == 200:
        outcome: Any = None
        try:
            check_result(response, ID)
            outcome = {"data": decode_body(response)}
        except FalError as error:
            outcome = {"error": type(error).__name__}
            assert error.retryable  # noqa: PT017
        assert outcome == expected
        return
    completed = None if sample["completed"] is None else Completed(request_id=ID, **sample["completed"])
    failure = result_error(fetched(response), completed)
    assert type(failure) is getattr(fal_async.errors, expected["error"])
    assert failure.request_id == ID
    assert failure.endpoint_id == "fal-ai/flux/dev"
    assert {field: getattr(failure, field) for field in expected if field != "error"} == {
        field: value for field, value in expected.items() if field != "error"
    }


def fetched(response: HttpResponse) -> ApiError:
    return error_of(result_request(BASE, REF, persistent=False), response)


@given(
    st.integers(300, 599),
    st.binary() | json_values.map(lambda value: json.dumps(value).encode()),
    st.none() | st.builds(Completed, request_id=st.just(ID), error=texts, error_type=texts),
)
def test_any_failed_fetch_of_a_result_gives_an_error_with_the_request_id(
    status: int, body: bytes, completed: Completed | None
) -> None:
    failure = result_error(fetched(HttpResponse(status=status, headers={}, body=body)), completed)
    assert isinstance(failure, FalError)
    assert failure.request_id == ID
    assert len(str(failure)) < 300


def test_a_followed_request_that_fal_no_longer_knows_is_expired() -> None:
    gone = fetched(HttpResponse(status=404, headers={}, body=b'{"status": "NOT_FOUND"}'))
    assert isinstance(gone, NotFoundError)
    expired = vanished(gone, existed=True)
    assert type(expired).__name__ == "ResultExpiredError"
    assert (expired.request_id, expired.status, "6 minutes" in str(expired)) == (ID, 404, True)
    other = fetched(HttpResponse(status=404, headers={}, body=b'{"detail": "Application not found"}'))
    assert isinstance(other, NotFoundError)
    assert vanished(other, existed=True) is other


def test_an_unknown_request_id_that_may_be_wrong_is_not_reported_as_expired() -> None:
    gone = fetched(HttpResponse(status=404, headers={}, body=b'{"status": "NOT_FOUND"}'))
    assert isinstance(gone, NotFoundError)
    for unknown in (vanished(gone, existed=False), result_error(gone, None, existed=False)):
        assert type(unknown) is NotFoundError
        assert "check the endpoint id and the request id" in str(unknown)
        assert not unknown.retryable


# Cancel.


@pytest.mark.parametrize("name", sample_names("cancel"))
def test_each_recorded_answer_to_a_cancel_is_the_expected_outcome(name: str) -> None:
    sample = load("cancel", name)
    response = answer(sample)
    assert parse_cancel(response) == sample["expected"]
    assert response.status < 300 or response.status in CANCEL_STATUSES


@given(
    st.sampled_from([200, 202, 204, *CANCEL_STATUSES]),
    st.binary() | json_values.map(lambda value: json.dumps(value).encode()),
)
@example(200, b"[" * 100_000)
def test_any_answer_to_a_cancel_is_an_outcome_or_an_error(status: int, body: bytes) -> None:
    outcome = parse_cancel(HttpResponse(status=status, headers={}, body=body))
    is_silent = b"ALREADY_COMPLETED" not in body and b'"detail"' not in body
    assert (outcome is None) == (status in (400, 409, 422) and is_silent)
