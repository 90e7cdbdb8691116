"""Outcomes of deliveries: the same as those of following the request, or more certain."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async import Completed
from fal_async.errors import RequestRef
from fal_async.protocol.api_errors import error_of
from fal_async.protocol.http import HttpRequest, HttpResponse, Operation
from fal_async.protocol.ledger.delivered_ends import end_of_event, is_better_fetched
from fal_async.protocol.ledger.ends import end_of
from fal_async.protocol.ledger.entry import End
from fal_async.protocol.ledger.stored_errors import parse_error
from fal_async.protocol.results import result_error
from fal_async.protocol.webhook_events import WebhookEvent, parse_event
from fal_async.protocol.webhooks import SignedHeaders

ID = "764cabcf-b745-4b3e-ae38-1200304cf45b"
DETAIL = [{"loc": ["body", "prompt"], "msg": "too long", "type": "string_too_long", "ctx": {"max_length": 9}}]
HEADERS = {"content-type": "application/json", "x-fal-request-id": ID}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def event_of(**fields: Any) -> WebhookEvent:
    body = json.dumps({"request_id": ID, "gateway_request_id": ID, **fields}).encode()
    signed = SignedHeaders(request_id=ID, user_id="user", timestamp=1, signature=b"")
    return parse_event(body, signed)


def failed_event(status: int, payload: Any) -> WebhookEvent:
    return event_of(status="ERROR", error=f"Invalid status code: {status}", payload=payload)


def end_by_queue(status: int, payload: Any) -> Any:
    """Return the outcome of a request whose result URL answers like this after a status with an error."""
    ref = RequestRef(endpoint_id=None, request_id=ID)
    request = HttpRequest(operation=Operation.RESULT, method="GET", url="", ref=ref)
    completed = Completed(request_id=ID, error=f"Invalid status code: {status}")
    response = HttpResponse(status=status, headers=HEADERS, body=json.dumps(payload).encode())
    error = result_error(error_of(request, response), completed)
    return end_of(error, completed=completed, at=9.0)


def without_retryable(end: End | None) -> Any:
    """Return what of an outcome must be equal. `retryable` differs, as a delivery does not change."""
    assert end is not None
    assert end.payload is not None
    error = parse_error(end.payload.body)
    return attrs.evolve(end, payload=None, headers={}), {**error.to_dict(), "retryable": None}


@given(payload=json_values)
def test_a_delivered_result_is_stored_as_json_with_the_id_of_its_request(payload: Any) -> None:
    end = end_of_event(event_of(status="OK", payload=payload), 9.0)
    assert end is not None
    assert (end.state, end.outcome, end.at, end.billable_units) == ("done", "done", 9.0, None)
    assert end.headers == HEADERS
    assert end.payload is not None
    assert (end.payload.content_type, json.loads(end.payload.body)) == ("application/json", payload)


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (422, {"detail": DETAIL}),
        (422, {"detail": [{**DETAIL[0], "type": "content_policy_violation"}]}),
        (400, {"detail": "bad request", "error_type": "bad_request"}),
        (404, {"detail": "Not Found"}),
        (422, None),
        (499, {"detail": "cancelled", "error_type": "client_cancelled"}),
        (429, {"detail": "slow down"}),
        (500, {"detail": "Internal Server Error"}),
        (503, {"detail": "no runner", "error_type": "runner_disconnected"}),
        (418, {"status": "NOT_FOUND"}),
    ],
)
def test_a_delivered_error_is_stored_as_that_of_the_result_url(status: int, payload: Any) -> None:
    end = end_of_event(failed_event(status, payload), 9.0)
    assert without_retryable(end) == without_retryable(end_by_queue(status, payload))


def test_an_error_that_names_no_status_is_stored_as_a_failure_that_may_be_tried_again() -> None:
    end = end_of_event(event_of(status="ERROR", error="the runner vanished", payload=None), 9.0)
    assert end is not None
    assert end.payload is not None
    assert (end.state, end.final, parse_error(end.payload.body).message) == (
        "failed",
        False,
        "the runner vanished",
    )


@pytest.mark.parametrize("status", [401, 403, 409])
def test_a_status_that_a_fetch_may_get_for_another_reason_is_an_outcome_if_it_is_delivered(
    status: int,
) -> None:
    payload = {"detail": "still in progress"}
    assert not isinstance(end_by_queue(status, payload), End)
    end = end_of_event(failed_event(status, payload), 9.0)
    assert end is not None
    assert (end.state, end.outcome, end.final) == ("failed", "failed", True)


@pytest.mark.parametrize("status", ["OK", "ERROR"])
def test_a_delivery_without_its_payload_has_no_outcome_to_store(status: str) -> None:
    event = event_of(status=status, payload=None, payload_error="too large", error="Invalid status code: 422")
    assert end_of_event(event, 9.0) is None


def test_a_response_is_better_for_units_on_demand_and_for_errors_whose_headers_matter() -> None:
    result, final = event_of(status="OK", payload={}), failed_event(422, {"detail": DETAIL})
    busy = failed_event(503, {"detail": "busy"})
    assert [is_better_fetched(event, fetch_units=True) for event in (result, final, busy)] == [
        True,
        False,
        True,
    ]
    assert [is_better_fetched(event, fetch_units=False) for event in (result, final, busy)] == [
        False,
        False,
        True,
    ]
