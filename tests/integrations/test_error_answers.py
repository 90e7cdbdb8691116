"""Of what a 429 is, and whose fault a 404: the caller's, who named a request, or the application's."""

from __future__ import annotations

import pytest

from fal_async.errors import FalError, NotFoundError, RateLimitError, ResultExpiredError
from fal_async.integrations.error_answers import answer_to

UNKNOWN = {"status": "NOT_FOUND"}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFoundError("unknown", status=404, body=UNKNOWN, request_id="typo"), 404),
        (ResultExpiredError("gone", status=404, body=UNKNOWN, request_id="old"), 410),
        (NotFoundError("no app", status=404, body={"detail": "Application 'x' not found"}), 502),
        (NotFoundError("no app", status=404, body="not found"), 502),
        (NotFoundError("its own words", status=404, body={"status": "error", "detail": "no such page"}), 502),
    ],
)
def test_a_request_that_the_caller_named_is_not_found_a_model_is_unreachable(
    error: FalError, status: int
) -> None:
    assert answer_to(error).status == status


def test_a_refused_poll_does_not_ask_the_caller_to_try_again() -> None:
    """Who heeds a 429 sends the whole call again, and pays for a second request."""
    asked = answer_to(RateLimitError("busy", status=429, retry_after=3, request_id="r-1", retryable=False))
    assert (asked.status, asked.body["retryable"], asked.headers) == (500, False, {})
    refused = answer_to(RateLimitError("busy", status=429, retry_after=3, request_id="r-1", retryable=True))
    assert (refused.status, refused.headers) == (429, {"Retry-After": "3"})
