"""Which poll failures are tolerated while following a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.config import RetryPolicy
from fal_async.errors import (
    ApiError,
    AuthenticationError,
    BalanceExhaustedError,
    FalError,
    NotFoundError,
    RateLimitError,
    ResponseDecodeError,
    ServerError,
    TransportError,
    TransportTimeoutError,
)
from fal_async.models import InProgress, Queued, UnknownStatus
from fal_async.protocol.poll_failures import PollFailures, StuckDetector

PASSING: list[FalError] = [
    TransportError("broke"),
    TransportTimeoutError("slow"),
    ResponseDecodeError("an HTML page"),
    RateLimitError("busy", status=429),
    ApiError("slow", status=408),
    ServerError("bad", status=500),
    ServerError("bad", status=503),
]
DEFINITE: list[FalError] = [
    AuthenticationError("no", status=401),
    BalanceExhaustedError("no", status=403),
    ApiError("no", status=400),
    ApiError("gone", status=410),
]
GONE = NotFoundError("NOT_FOUND", status=404)


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_temporary_poll_failures_are_tolerated_until_the_outage_limit(error: FalError) -> None:
    patience = PollFailures(RetryPolicy(outage=60))
    assert all(patience.tolerates(error, float(now)) for now in range(60))
    assert not patience.tolerates(error, 60.0)


def test_a_successful_poll_restarts_the_outage_limit() -> None:
    patience = PollFailures(RetryPolicy(outage=60))
    for start in (0.0, 1000.0):
        assert patience.tolerates(PASSING[0], start)
        assert patience.tolerates(PASSING[0], start + 59)
        patience.restored()
        assert patience.in_a_row == 0


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 1e9])
@pytest.mark.parametrize("outage", [4, 600])
def test_a_clock_that_jumps_between_two_failed_polls_is_not_an_outage(outage: float, jump: float) -> None:
    patience = PollFailures(RetryPolicy(outage=outage))
    assert all(patience.tolerates(PASSING[0], now) for now in (0.0, 0.5, jump, jump + 0.5, jump + 1))


def test_polls_that_time_out_one_after_another_are_an_outage() -> None:
    patience = PollFailures(RetryPolicy(outage=600))
    assert [patience.tolerates(PASSING[1], 120.0 * n) for n in range(6)] == [True] * 5 + [False]


@pytest.mark.parametrize("error", DEFINITE, ids=repr)
def test_a_poll_answered_with_a_final_error_is_not_tolerated(error: FalError) -> None:
    assert not PollFailures(RetryPolicy()).tolerates(error, 0.0)


def test_the_third_404_in_a_row_is_not_tolerated() -> None:
    patience = PollFailures(RetryPolicy())
    assert [patience.tolerates(GONE, 0.0) for _ in range(3)] == [True, True, False]


def test_404s_are_counted_separately_from_other_poll_failures() -> None:
    patience = PollFailures(RetryPolicy())
    assert all(patience.tolerates(error, 0.0) for error in [PASSING[0]] * 3 + [GONE, PASSING[0], GONE])
    assert not patience.tolerates(GONE, 0.0), "the third one since the last successful poll"
    patience.restored()
    assert all(patience.tolerates(GONE, 0.0) for _ in range(2))


@given(
    st.builds(
        RetryPolicy,
        base_delay=st.floats(1e-9, 1e300),
        max_delay=st.floats(1e-9, 1e300),
        max_retry_after=st.floats(0.1, 1e300),
    ),
    st.integers(1, 2000),
    st.none() | st.floats(0, 1e9),
    st.floats(0, 1),
)
def test_pauses_after_failed_polls_are_bounded_on_both_sides(
    policy: RetryPolicy, failures: int, asked: float | None, chance: float
) -> None:
    patience = PollFailures(policy)
    patience.in_a_row = failures
    error = ServerError("bad", status=503, retry_after=asked)
    longest = min(10.0, policy.max_delay) if asked is None else policy.max_retry_after
    assert 0.1 <= patience.pause(error, chance) <= max(0.1, longest)


def test_pauses_after_failed_polls_grow_and_follow_retry_after() -> None:
    patience = PollFailures(RetryPolicy(base_delay=0.5, max_retry_after=60))
    pauses = []
    for _ in range(7):
        patience.tolerates(PASSING[0], 0.0)
        pauses.append(patience.pause(PASSING[0], 1.0))
    assert pauses == [0.5, 1, 2, 4, 8, 10, 10]
    assert patience.pause(RateLimitError("busy", status=429, retry_after=33), 0.0) == 33
    assert patience.pause(RateLimitError("busy", status=429, retry_after=3600), 0.0) == 60


def test_pauses_after_failed_polls_are_bounded_by_the_policys_max_delay() -> None:
    patience = PollFailures(RetryPolicy(base_delay=0.5, max_delay=3))
    patience.in_a_row = 20
    assert patience.pause(PASSING[0], 1.0) == 3


def test_a_queue_position_that_does_not_change_is_reported_once() -> None:
    watch = StuckDetector(120.0)
    at_four = Queued(request_id="r", position=4)
    assert watch.seconds_stuck(at_four, 0.0) is None
    assert watch.seconds_stuck(at_four, 120.0 - 1) is None
    assert watch.seconds_stuck(at_four, 120.0) == 120.0
    assert watch.seconds_stuck(at_four, 120.0 * 9) is None
    assert watch.seconds_stuck(Queued(request_id="r", position=3), 2000.0) is None
    assert watch.seconds_stuck(Queued(request_id="r", position=3), 2000.0 + 120.0) == 120.0


@pytest.mark.parametrize("status", [InProgress(request_id="r"), UnknownStatus(request_id="r", status="X")])
def test_a_request_that_is_not_queued_is_never_reported_as_stuck(status: InProgress | UnknownStatus) -> None:
    watch = StuckDetector(120.0)
    assert [watch.seconds_stuck(status, float(now)) for now in (0, 1000, 10_000)] == [None] * 3
