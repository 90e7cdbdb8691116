"""The complete table of retries (protocol 12): operation x failure x sent x policy."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.config import RetryPolicy
from fal_async.errors import FalError, ResponseDecodeError, TransportError, TransportTimeoutError
from fal_async.protocol.api_errors import error_of
from fal_async.protocol.http import PAID, HttpRequest, HttpResponse, Operation
from fal_async.protocol.retry import (
    Patience,
    RetryBudget,
    Verdict,
    allowed_attempts,
    allowed_seconds,
    delay_before_retry,
    judge,
)

RETRY, RAISE, UNCERTAIN = Verdict.RETRY, Verdict.RAISE, Verdict.UNCERTAIN
DEFAULT, BOLD = RetryPolicy(), RetryPolicy(retry_uncertain=True)
FREE = sorted(set(Operation) - PAID)
FROM_FAL = {"x-fal-request-id": "r-1"}
LOCKED = b'{"detail": "User is locked. Reason: Exhausted balance."}'


def request(operation: Operation, *, persistent: bool = False, refusal_is_final: bool = False) -> HttpRequest:
    return HttpRequest(
        operation=operation,
        method="POST",
        url="https://queue.fal.run/fal-ai/flux",
        persistent=persistent,
        refusal_is_final=refusal_is_final,
    )


def answered(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> FalError:
    response = HttpResponse(status=status, headers=headers or {}, body=body)
    return error_of(request(Operation.READ), response)


BROKEN = TransportError("the connection broke")
LATE = TransportTimeoutError("too slow")
CIRCLE = TransportError("gave up after 5 redirects", retryable=False)
NONSENSE = ResponseDecodeError("no JSON", retryable=True)

# Failure without an answer, whether anything was sent, verdict for reads, for paid requests.
WITHOUT_ANSWER = [
    (BROKEN, False, RETRY, RETRY),
    (LATE, False, RETRY, RETRY),
    (BROKEN, True, RETRY, UNCERTAIN),
    (LATE, True, RETRY, UNCERTAIN),
    (CIRCLE, True, RAISE, UNCERTAIN),
    (NONSENSE, True, RETRY, RAISE),
]

# Status, headers, body; verdict for reads, for paid requests, for paid ones with `retry_uncertain=True`.
INGRESS: dict[str, str] = {}
ANSWERS = [
    (408, INGRESS, b"", RETRY, RAISE, RAISE),
    (429, INGRESS, b"", RETRY, RETRY, RETRY),
    (429, FROM_FAL, b"", RETRY, RETRY, RETRY),
    (429, {"x-fal-needs-retry": "1"}, b"", RETRY, RETRY, RETRY),
    (429, {"x-fal-needs-retry": "0"}, b"", RAISE, RAISE, RAISE),
    (502, INGRESS, b"<html>nginx", RETRY, UNCERTAIN, RETRY),
    (503, INGRESS, b"<html>nginx", RETRY, RETRY, RETRY),
    (504, INGRESS, b"<html>nginx", RETRY, UNCERTAIN, RETRY),
    (500, INGRESS, b"", RETRY, UNCERTAIN, UNCERTAIN),
    (505, INGRESS, b"", RETRY, UNCERTAIN, UNCERTAIN),
    (500, FROM_FAL, b"", RAISE, RAISE, RAISE),
    (502, FROM_FAL, b"", RAISE, RAISE, RAISE),
    (503, FROM_FAL, b"", RAISE, RAISE, RAISE),
    (504, FROM_FAL, b"", RAISE, RAISE, RAISE),
    (500, {**FROM_FAL, "x-fal-needs-retry": "true"}, b"", RETRY, RAISE, RAISE),
    (503, {**FROM_FAL, "x-fal-needs-retry": "1"}, b"", RETRY, RAISE, RAISE),
    (503, {**FROM_FAL, "x-fal-retryable": "true"}, b"", RETRY, RAISE, RAISE),
    (503, {**FROM_FAL, "x-fal-needs-retry": "0"}, b"", RAISE, RAISE, RAISE),
    (504, {"x-fal-request-timeout-type": "user"}, b"", RAISE, RAISE, RAISE),
    (504, {"x-fal-request-timeout-type": "user", "x-fal-needs-retry": "1"}, b"", RAISE, RAISE, RAISE),
    (403, INGRESS, LOCKED, RAISE, RAISE, RAISE),
    (403, {"x-fal-needs-retry": "1"}, LOCKED, RAISE, RAISE, RAISE),
    *((status, INGRESS, b"", RAISE, RAISE, RAISE) for status in (301, 302, 400, 401, 403, 404, 405, 409)),
    *((status, INGRESS, b"", RAISE, RAISE, RAISE) for status in (410, 413, 415, 422, 499)),
    (422, {"x-fal-needs-retry": "1"}, b"", RAISE, RAISE, RAISE),
    (409, {"x-fal-needs-retry": "1"}, b"", RAISE, RAISE, RAISE),
]


def ids(case: tuple[object, ...]) -> str:
    return "-".join(str(part)[:40] for part in case[:2])


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize(("error", "sent", "free", "paid"), WITHOUT_ANSWER)
def test_attempts_without_an_answer_are_judged_by_the_table(
    operation: Operation, error: FalError, sent: bool, free: Verdict, paid: Verdict
) -> None:
    expected = paid if operation in PAID else free
    for policy in (DEFAULT, BOLD):
        assert judge(request(operation), error, sent=sent, policy=policy) is expected


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize(("status", "headers", "body", "free", "paid", "bold"), ANSWERS)
def test_error_answers_are_judged_by_the_table(
    operation: Operation,
    status: int,
    headers: dict[str, str],
    body: bytes,
    free: Verdict,
    paid: Verdict,
    bold: Verdict,
) -> None:
    error = answered(status, headers, body)
    for policy, of_paid in ((DEFAULT, paid), (BOLD, bold)):
        expected = of_paid if operation in PAID else free
        assert judge(request(operation), error, sent=True, policy=policy) is expected


def test_only_run_stream_submit_and_create_must_not_be_sent_twice() -> None:
    assert sorted(PAID) == ["create", "run", "stream", "submit"]
    assert FREE == ["cancel", "download", "read", "result", "status", "token", "upload", "write"]


@pytest.mark.parametrize(
    ("status", "headers", "verdict"),
    [(429, {}, RAISE), (503, INGRESS, UNCERTAIN), (502, INGRESS, UNCERTAIN), (503, FROM_FAL, RAISE)],
)
def test_a_fallback_chain_is_not_sent_again_whatever_the_policy(
    status: int, headers: dict[str, str], verdict: Verdict
) -> None:
    chain = attrs.evolve(request(Operation.RUN), once=True)
    for policy in (DEFAULT, BOLD):
        assert judge(chain, answered(status, headers), sent=True, policy=policy) is verdict
        assert judge(chain, BROKEN, sent=False, policy=policy) is RETRY


def test_a_429_that_the_caller_asked_for_is_not_retried() -> None:
    asked = request(Operation.SUBMIT, refusal_is_final=True)
    assert judge(asked, answered(429), sent=True, policy=DEFAULT) is RAISE


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504])
def test_fetching_an_existing_result_is_retried_after_every_server_error(status: int) -> None:
    there = request(Operation.RESULT, persistent=True)
    assert judge(there, answered(status, FROM_FAL), sent=True, policy=DEFAULT) is RETRY
    assert judge(there, answered(404, FROM_FAL), sent=True, policy=DEFAULT) is RAISE
    assert judge(request(Operation.RESULT), answered(status, FROM_FAL), sent=True, policy=DEFAULT) is RAISE


@given(
    st.sampled_from(sorted(PAID)),
    st.integers(300, 599),
    st.dictionaries(
        st.sampled_from(["x-fal-request-id", "x-fal-needs-retry", "x-fal-retryable", "retry-after"]),
        st.sampled_from(["0", "1", "true", "no", ""]),
    ),
)
def test_a_paid_request_is_retried_only_after_429_and_an_ingress_503(
    operation: Operation, status: int, headers: dict[str, str]
) -> None:
    verdict = judge(request(operation), answered(status, headers), sent=True, policy=DEFAULT)
    if verdict is RETRY:
        assert status == 429 or (status == 503 and "x-fal-request-id" not in headers)


# Delays and numbers of attempts.


def test_the_delay_before_a_retry_has_full_jitter_and_grows_exponentially() -> None:
    policy = RetryPolicy(base_delay=0.5, max_delay=20)
    assert [delay_before_retry(policy, n, BROKEN, 1.0) for n in (1, 2, 3, 6, 10**6)] == [1, 2, 4, 20, 20]
    assert delay_before_retry(policy, 3, BROKEN, 0.25) == 1.0


def test_retry_after_takes_precedence_over_the_computed_delay() -> None:
    policy = RetryPolicy(base_delay=0.5, max_retry_after=30)
    assert delay_before_retry(policy, 1, answered(503, {"retry-after": "7"}), 0.0) == 7
    assert delay_before_retry(policy, 1, answered(503, {"retry-after": "30"}), 0.9) == 30
    assert delay_before_retry(policy, 1, answered(503, {"retry-after": "31"}), 0.9) is None
    at_once = delay_before_retry(policy, 1, answered(503, {"retry-after": "0"}), 0.9)
    assert at_once is not None
    assert 0 < at_once < 0.5


@given(
    st.builds(
        RetryPolicy,
        base_delay=st.floats(1e-9, 1e300),
        max_delay=st.floats(1e-9, 1e300),
        max_retry_after=st.floats(1e-9, 1e300),
    ),
    st.integers(1, 10**9),
    st.floats(0, 1),
    st.none() | st.integers(0, 10**9),
)
def test_delays_before_retries_are_finite_and_bounded(
    policy: RetryPolicy, attempt: int, chance: float, asked: int | None
) -> None:
    headers = {} if asked is None else {"retry-after": str(asked)}
    delay = delay_before_retry(policy, attempt, answered(503, headers), chance)
    assert delay is None or 0 <= delay <= max(policy.max_delay, policy.max_retry_after, 0.05)


def test_fetching_an_existing_result_is_bounded_only_by_result_total() -> None:
    policy = RetryPolicy(max_attempts=3, max_total=60, result_total=300)
    there = request(Operation.RESULT, persistent=True)
    assert (
        allowed_attempts(request(Operation.RUN), policy),
        allowed_seconds(request(Operation.RUN), policy),
    ) == (
        3,
        60,
    )
    assert allowed_attempts(there, policy) > 1000
    assert allowed_seconds(there, policy) == 300
    assert allowed_attempts(there, RetryPolicy(max_attempts=1)) == 1


def test_the_retry_budget_runs_empty_and_is_refilled_by_successes() -> None:
    budget = RetryBudget(capacity=25)
    assert [budget.take(error) for error in (BROKEN, LATE, BROKEN, LATE, BROKEN, BROKEN)] == [
        True,
        True,
        True,
        False,
        True,
        False,
    ]
    for _ in range(4):
        budget.succeeded()
    assert not budget.take(BROKEN)
    budget.succeeded()
    assert budget.take(BROKEN)
    for _ in range(100):
        budget.succeeded()
    assert budget.left == 25


@given(st.lists(st.floats(0, 10), max_size=20), st.floats(-1e9, 1e9), st.floats(1, 1000))
def test_a_clock_that_jumps_once_uses_at_most_half_of_the_bound(
    steps: list[float], jump: float, bound: float
) -> None:
    patience, now = Patience(bound, 0.0), 0.0
    for step in steps:
        now += step
        patience.at(now)
    before = patience.at(now)
    assert patience.at(now + jump) <= before + bound / 2


def test_seconds_of_a_steady_clock_are_counted_completely() -> None:
    patience = Patience(300.0, 10.0)
    assert [patience.at(10.0 + 60 * n) for n in range(5)] == [0.0, 60.0, 120.0, 180.0, 240.0]
    assert Patience(300.0).at(1000.0) == 0.0
