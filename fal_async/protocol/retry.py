"""Whether a failed HTTP request is sent again, and after how long (protocol 12).

Requests that only read are retried after every temporary failure. A paid one (run, submit, stream) is retried after
a 429, a 503 of the gateway, or a failure before anything was sent. If fal may have accepted it, the call raises
SubmissionUncertainError, unless the policy has `retry_uncertain`. Other errors are raised unchanged.
"""

from __future__ import annotations

import enum

import attrs

from fal_async.config import RetryPolicy
from fal_async.errors import (
    ApiError,
    BalanceExhaustedError,
    FalError,
    ResponseDecodeError,
    StartTimeoutError,
    TransportError,
    TransportTimeoutError,
)
from fal_async.protocol.api_errors import is_gateways_page, needs_retry
from fal_async.protocol.http import PAID, REQUEST_ID, HttpRequest
from fal_async.protocol.results import is_not_yet

_LONGEST_STEP = 120.0
"""The maximum number of seconds counted between two readings of the clock: the default of `Timeouts.total`."""
_SHORTEST = 0.05
"""The shortest delay before a retry, in seconds, if the server sent `Retry-After`."""
_LONGEST_UNREACHED = 0.25
"""The longest delay before a retry, in seconds, if the server was not reached."""


class Verdict(enum.Enum):
    """What follows a failed attempt."""

    RETRY = "retry"
    """Another attempt, if the limits of the retry policy allow it."""
    RAISE = "raise"
    """The call raises the error."""
    UNCERTAIN = "uncertain"
    """The call raises SubmissionUncertainError, because fal may have accepted the paid request."""


def judge(request: HttpRequest, error: FalError, *, sent: bool, policy: RetryPolicy) -> Verdict:
    """Decide what follows a failed attempt. `sent`: whether any byte of the request may have left this process."""
    if isinstance(error, TransportError):
        if sent and request.operation in PAID:
            return Verdict.UNCERTAIN
        return Verdict.RETRY if error.retryable else Verdict.RAISE
    if isinstance(error, ApiError):
        return _judge_response(request, error, policy)
    # The body was not the declared JSON. Another attempt may get the whole body, and costs nothing if it only
    # reads.
    only_reads = request.operation not in PAID
    return Verdict.RETRY if isinstance(error, ResponseDecodeError) and only_reads else Verdict.RAISE


def _judge_response(request: HttpRequest, error: ApiError, policy: RetryPolicy) -> Verdict:
    """Decide what follows an error response."""
    # `persistent`: the result of a completed request is fetched. It exists, so "not ready yet" is temporary.
    if request.persistent and is_not_yet(error):
        return Verdict.RETRY
    # A 409 is a conflict with the present state, in which the same request fails again.
    if isinstance(error, StartTimeoutError | BalanceExhaustedError) or error.status == 409:
        return Verdict.RAISE
    said = needs_retry(error.headers)
    if error.status == 429:
        # An app may forbid the retry by a header (protocol 4.7).
        is_final = request.refusal_is_final or request.once or said is False
        return Verdict.RAISE if is_final else Verdict.RETRY
    from_gateway = error.status >= 500 and REQUEST_ID not in error.headers
    if request.operation in PAID:
        return _judge_paid(request, error.status, from_gateway, policy)
    temporary = from_gateway or error.status == 408 or (said is True and error.status >= 500)
    if (request.harmless or request.persistent) and not temporary:
        temporary = error.status >= 500 and said is not False
    if request.persistent and not temporary:
        temporary = is_gateways_page(error.status, error.headers)
    return Verdict.RETRY if temporary else Verdict.RAISE


def _judge_paid(request: HttpRequest, status: int, from_gateway: bool, policy: RetryPolicy) -> Verdict:
    """Decide what follows an error response to a paid request, other than 409 and 429."""
    if not from_gateway:
        return Verdict.RAISE
    if not request.once and (status == 503 or (policy.retry_uncertain and status in (502, 504))):
        return Verdict.RETRY
    # A gateway may respond with 502, 504 or another 5xx after fal has accepted the request.
    return Verdict.UNCERTAIN


def delay_before_retry(
    policy: RetryPolicy, attempt: int, error: FalError, chance: float, *, reached: bool = True
) -> float | None:
    """Return the seconds to wait after failed attempt `attempt` (from 1).

    None if `Retry-After` asks for more than `RetryPolicy.max_retry_after`. A shorter `Retry-After` is the delay.
    Without it, the delay is exponential with full jitter: `chance` is a random number from 0 to 1. If the server
    was not `reached` at all (a wrong host, no network), the delays are short, so that the error is raised soon.
    """
    asked = error.retry_after if isinstance(error, ApiError) else None
    if asked is not None:
        # `Retry-After: 0` must not cause a busy loop in a fetch that is retried for minutes.
        return max(asked, _SHORTEST) if asked <= policy.max_retry_after else None
    longest = policy.max_delay if reached else min(policy.max_delay, _LONGEST_UNREACHED)
    return chance * min(longest, policy.base_delay * 2.0 ** min(attempt, 30))


def allowed_attempts(request: HttpRequest, policy: RetryPolicy) -> int:
    """Return the maximum number of attempts.

    Fetching the result of a completed request is limited only by time, unless the policy switches retries off.
    """
    return 1_000_000 if request.persistent and policy.max_attempts > 1 else policy.max_attempts


def allowed_seconds(request: HttpRequest, policy: RetryPolicy) -> float:
    """Return the seconds since the first attempt, after which no retry is started."""
    return policy.result_total if request.persistent else policy.max_total


class Patience:
    """Measures how much of a time limit has passed.

    Between two calls of `at`, no more than `_LONGEST_STEP` and no more than half of the limit is counted, so a
    sleep of the computer does not use up the limit.
    """

    __slots__ = ("_bound", "_last", "_spent")

    def __init__(self, bound: float, now: float | None = None) -> None:
        """`bound`: the limit in seconds. `now`: the time at which counting starts; None: at the first `at`."""
        self._bound, self._last, self._spent = bound, now, 0.0

    def at(self, now: float) -> float:
        """Return the seconds counted so far. `now`: a reading of a monotonic clock, in seconds."""
        if self._last is not None:
            self._spent += min(max(0.0, now - self._last), _LONGEST_STEP, self._bound / 2)
        self._last = now
        return self._spent


@attrs.define(kw_only=True, eq=False)
class RetryBudget:
    """A token bucket, as in the standard retry mode of the AWS SDKs, that prevents a storm of retries in an outage.

    A retry costs `cost` tokens (`timeout_cost` after a timeout), and a success returns `refund` tokens. If the
    bucket has too few tokens, requests are not retried until enough others have succeeded, except the fetch of a
    result that was paid for. All requests of one connection pool share a bucket.
    """

    capacity: float = 500.0
    cost: float = 5.0
    timeout_cost: float = 10.0
    refund: float = 1.0
    left: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.left = self.capacity

    def take(self, error: FalError) -> bool:
        """Return whether a retry after this error is allowed. If it is, its cost is taken from the bucket."""
        price = self.timeout_cost if isinstance(error, TransportTimeoutError) else self.cost
        if price > self.left:
            return False
        self.left -= price
        return True

    def succeeded(self) -> None:
        """Put the refund for a successful request into the bucket."""
        if self.left < self.capacity:
            self.left = min(self.capacity, self.left + self.refund)
