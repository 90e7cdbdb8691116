"""Answers of the result URL: an output, or a status in place of it (protocol 4.4)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fal_async.errors import ApiError, FalError, RequestCancelledError, RequestFailedError, RequestRef
from fal_async.models import Completed
from fal_async.protocol.api_errors import error_of
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.queue import result_request
from fal_async.protocol.queue_status import parse_status
from fal_async.protocol.results import check_result, is_not_yet, result_error
from tests.protocol.test_http import json_values

ID = "764cabcf-b745"
URL = f"https://queue.fal.run/me/app/requests/{ID}"
OWN = {"request_id": ID}


def said(status: int, body: Any, **headers: str) -> HttpResponse:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status=status, headers={"content-type": "application/json", **headers}, body=sent)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (202, {"status": "IN_PROGRESS", **OWN}),
        (202, {"status": "IN_QUEUE", "queue_position": 0}),
        (202, {"status": "PENDING"}),
        (202, {"detail": "Request is still in progress"}),
        (202, {}),
        (202, b""),
        (202, b"\r\n"),
        (200, {"status": "IN_PROGRESS", **OWN, "logs": None}),
        (200, {"status": "IN_QUEUE", **OWN, "queue_position": 3, "status_url": f"{URL}/status"}),
        (200, {"status": "IN_PROGRESS", "status_url": f"{URL}/status"}),
        (200, {"status": "COMPLETED", **OWN, "response_url": URL, "metrics": {}}),
    ],
)
def test_a_status_in_place_of_the_result_means_that_the_result_is_late(status: int, body: Any) -> None:
    with pytest.raises(ApiError, match="a status instead of the result") as caught:
        check_result(said(status, body), ID)
    assert is_not_yet(caught.value)
    assert caught.value.retryable
    assert caught.value.request_id == ID


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"status": "IN_PROGRESS"}),
        (200, {"status": "IN_PROGRESS", "request_id": "a job elsewhere"}),
        (200, {"status": "IN_PROGRESS", **OWN, "progress": 0.5}),
        (200, {"status": "COMPLETED", **OWN}),
        (200, {"status": "COMPLETED", "images": []}),
        (200, {"status": "ok"}),
        (200, {"status": 3, **OWN}),
        (200, {"status": "FAILED", "error": "none"}),
        (200, {"message": "hello"}),
        (200, {}),
        (200, []),
        (200, None),
        (202, {"status": "IN_PROGRESS", "images": []}),
        (202, {"images": []}),
        (202, []),
        (201, {"status": "IN_PROGRESS"}),
    ],
)
def test_an_output_with_the_keys_of_a_status_is_an_output(status: int, body: Any) -> None:
    check_result(said(status, body), ID)


@pytest.mark.parametrize("kind", ["", "text/plain", "text/html; charset=utf-8", "application/octet-stream"])
def test_a_status_is_recognised_under_other_content_types_but_text_is_an_output(kind: str) -> None:
    for status in (200, 202):
        late = said(
            status, {"status": "IN_PROGRESS", **OWN}, **{"content-type": kind, "x-fal-request-id": ID}
        )
        with pytest.raises(ApiError, match="a status instead of the result"):
            check_result(late, ID)
        for body in (
            b'{"status": "IN_PROGRESS", cut',
            b"{}{}",
            b"some text",
            b'{"status": "IN_PROGRESS", "x": 1}',
        ):
            check_result(said(status, body, **{"content-type": kind, "x-fal-request-id": ID}), ID)


@pytest.mark.parametrize(
    ("status", "body", "late"),
    [
        (400, {"detail": "Request is still in progress"}, True),
        (400, {"detail": "Request in progress."}, True),
        (400, {"message": "The result is not ready"}, True),
        (409, {"status": "IN_QUEUE"}, True),
        (425, b"", True),
        (400, {"detail": "width must be at most 512"}, False),
        (400, {"detail": [{"loc": [], "msg": "still in progress", "type": "x"}]}, False),
        (400, b"still in progress", False),
        (422, {"detail": "still in progress"}, False),
        (500, {"detail": "still in progress"}, False),
    ],
)
def test_an_error_that_says_not_yet_means_that_the_result_is_late(status: int, body: Any, late: bool) -> None:
    request = result_request(URL, RequestRef(request_id=ID), persistent=True)
    assert is_not_yet(error_of(request, said(status, body))) is late


FAILED = ["FAILED", "failed", "ERROR", "TIMED_OUT"]


@pytest.mark.parametrize("word", FAILED)
@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"error": "out of memory"}, "out of memory"),
        ({"error": {"message": "out of memory"}}, "out of memory"),
        ({"detail": "out of memory"}, "out of memory"),
        ({"message": "out of memory"}, "out of memory"),
        ({"detail": [{"msg": "too wide"}]}, "the request has the status"),
        ({}, "the request has the status"),
    ],
)
def test_a_status_word_for_failed_ends_the_request_with_its_message(
    word: str, more: dict[str, Any], text: str
) -> None:
    document = {"status": word, **OWN, **more}
    status = parse_status(document, ID)
    assert isinstance(status, Completed)
    assert status.error is not None
    assert status.error.startswith(text)
    with pytest.raises(ApiError) as caught:
        check_result(said(200, document), ID)
    assert not is_not_yet(caught.value)
    for completed in (status, None):
        failure = result_error(caught.value, completed)
        assert isinstance(failure, RequestFailedError)
        assert failure.message.startswith(text)
        assert not failure.retryable


@pytest.mark.parametrize("word", ["CANCELLED", "CANCELED", "cancelled"])
def test_a_status_word_for_cancelled_raises_request_cancelled(word: str) -> None:
    status = parse_status({"status": word, **OWN}, ID)
    assert isinstance(status, Completed)
    for answer in (said(404, {"status": "NOT_FOUND"}), said(400, {"detail": "cancelled"})):
        error = error_of(result_request(URL, RequestRef(request_id=ID), persistent=False), answer)
        assert isinstance(result_error(error, status), RequestCancelledError)


bodies = st.binary() | json_values.map(lambda value: json.dumps(value).encode())


@given(st.sampled_from([200, 201, 202, 204]), bodies)
@example(200, b"[" * 100_000)
def test_any_answer_of_the_result_url_is_an_output_or_a_fal_error(status: int, body: bytes) -> None:
    try:
        check_result(said(status, body), ID)
    except FalError as error:
        assert len(str(error)) < 300  # noqa: PT017
