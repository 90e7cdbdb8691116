"""HTTP answers for errors: which are the caller's mistake, which may be retried, and with which status."""

from __future__ import annotations

import pytest

from fal_async.errors import (
    CancelOutcome,
    ClientTimeoutError,
    FalError,
    KeyConflictError,
    LedgerError,
    NotFoundError,
    RateLimitError,
    ResultExpiredError,
    SubmissionUncertainError,
)
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
    ids=["unknown request", "expired result", "unknown app", "text body", "404 of the app itself"],
)
def test_an_unknown_request_is_404_and_an_unknown_model_is_502(error: FalError, status: int) -> None:
    assert answer_to(error).status == status


def test_a_429_of_a_poll_is_answered_with_500_and_no_retry_after() -> None:
    """A caller that obeys a 429 would repeat the whole call, and pay for a second request."""
    asked = answer_to(RateLimitError("busy", status=429, retry_after=3, request_id="r-1", retryable=False))
    assert (asked.status, asked.body["retryable"], asked.headers) == (500, False, {})
    refused = answer_to(RateLimitError("busy", status=429, retry_after=3, request_id="r-1", retryable=True))
    assert (refused.status, refused.headers) == (429, {"Retry-After": "3"})


def with_key(error: FalError) -> FalError:
    error.key = "anna:k-1"
    return error


@pytest.mark.parametrize(
    ("error", "plain", "keyed"),
    [
        (SubmissionUncertainError("may have been taken"), 500, 503),
        (ClientTimeoutError("too slow", timeout=1, request_id="r-1"), 504, 409),
        (ClientTimeoutError("too slow", timeout=1, cancel_outcome=CancelOutcome.CANCELLED), 504, 504),
        (NotFoundError("no app", status=404), 502, 502),
    ],
    ids=["uncertain", "timed out", "timed out and cancelled", "unknown app"],
)
def test_a_call_with_a_key_is_retryable_if_one_without_would_be_paid_twice(
    error: FalError, plain: int, keyed: int
) -> None:
    assert (answer_to(error).status, answer_to(error).headers) == (plain, {})
    again = answer_to(with_key(error))
    assert again.status == keyed
    if plain != keyed:
        assert again.headers == {"Retry-After": "5"}
        assert again.body["retryable"] is True
        assert "anna" not in str(again.body)


def test_a_key_conflict_is_422_and_a_broken_ledger_is_503() -> None:
    conflict = answer_to(KeyConflictError("another input", key="anna:k-1"))
    assert (conflict.status, conflict.body["error"], conflict.headers) == (422, "KeyConflictError", {})
    assert "anna" not in str(conflict.body)
    broken = answer_to(LedgerError("the disk of /var/ledger.db is full"))
    assert (broken.status, broken.body["error"]) == (503, "FalError")
    assert "ledger.db" not in str(broken.body)
