"""Whether a failed HTTP request is sent again, and after how long (protocol 12). Pure.

Requests that only read are repeated freely. A paid one (run, submit, stream) is repeated only if fal certainly did
not take it; otherwise the outcome is reported as uncertain, and nothing is sent.
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
"""Seconds of the longest attempt, as `Timeouts.total`."""
_SHORTEST, _LONGEST_UNREACHED = 0.05, 0.25
"""Seconds."""


class Verdict(enum.Enum):
    RETRY = "retry"
    RAISE = "raise"
    UNCERTAIN = "uncertain"
    """fal may have taken the paid request."""


def judge(request: HttpRequest, error: FalError, *, sent: bool, policy: RetryPolicy) -> Verdict:
    """Decide what follows a failed attempt. `sent`: whether any of the request may have left this process."""
    if isinstance(error, TransportError):
        if sent and request.operation in PAID:
            return Verdict.UNCERTAIN
        return Verdict.RETRY if error.retryable else Verdict.RAISE
    if isinstance(error, ApiError):
        return _judge_answer(request, error, policy)
    # The body was not the declared JSON: worth another attempt, if that is free.
    free = isinstance(error, ResponseDecodeError) and request.operation not in PAID
    return Verdict.RETRY if free else Verdict.RAISE


def _judge_answer(request: HttpRequest, error: ApiError, policy: RetryPolicy) -> Verdict:
    if request.persistent and is_not_yet(error):
        return Verdict.RETRY
    if isinstance(error, StartTimeoutError | BalanceExhaustedError) or error.status == 409:
        return Verdict.RAISE
    said = needs_retry(error.headers)
    if error.status == 429:
        # An app may forbid it by header (protocol 4.7).
        return Verdict.RAISE if request.refusal_is_final or said is False else Verdict.RETRY
    from_ingress = error.status >= 500 and REQUEST_ID not in error.headers
    if request.operation in PAID:
        return _judge_paid(error.status, from_ingress, policy)
    passing = from_ingress or error.status == 408 or (said is True and error.status >= 500)
    if request.harmless and not passing:
        passing = error.status >= 500 and said is not False
    if request.persistent and not passing:
        failing = error.status >= 500 and said is not False
        passing = failing or is_gateways_page(error.status, error.headers)
    return Verdict.RETRY if passing else Verdict.RAISE


def _judge_paid(status: int, from_ingress: bool, policy: RetryPolicy) -> Verdict:
    if not from_ingress:
        return Verdict.RAISE
    if status == 503 or (policy.retry_uncertain and status in (502, 504)):
        return Verdict.RETRY
    # An ingress may answer with 502, 504 or the like after fal has taken the request.
    return Verdict.UNCERTAIN


def delay_before_retry(
    policy: RetryPolicy, attempt: int, error: FalError, chance: float, *, reached: bool = True
) -> float | None:
    """Return the seconds to wait after failed attempt `attempt` (from 1); None if the server asks for too long.

    Full jitter, with `chance` a random number from 0 to 1; `Retry-After` takes precedence. If the server was not
    `reached` at all (a wrong host, no network), the waits are short, so that the error is raised soon.
    """
    asked = error.retry_after if isinstance(error, ApiError) else None
    if asked is not None:
        # "0" must not cause a busy loop in a fetch that is retried for minutes.
        return max(asked, _SHORTEST) if asked <= policy.max_retry_after else None
    longest = policy.max_delay if reached else min(policy.max_delay, _LONGEST_UNREACHED)
    return chance * min(longest, policy.base_delay * 2.0 ** min(attempt, 30))


def allowed_attempts(request: HttpRequest, policy: RetryPolicy) -> int:
    """Return the most attempts. Fetching an existing result is bounded only by time, unless retries are off."""
    return 1_000_000 if request.persistent and policy.max_attempts > 1 else policy.max_attempts


def allowed_seconds(request: HttpRequest, policy: RetryPolicy) -> float:
    return policy.result_total if request.persistent else policy.max_total


class Patience:
    """Counts seconds up to a bound, between readings of a clock.

    Of the time between two readings at most the longest attempt, and at most half of the bound, counts. So a clock
    that jumps, such as after a laptop slept, does not use up the bound.
    """

    __slots__ = ("_bound", "_last", "_spent")

    def __init__(self, bound: float, now: float | None = None) -> None:
        self._bound, self._last, self._spent = bound, now, 0.0

    def at(self, now: float) -> float:
        """Return the seconds counted up to now; 0 at the first reading."""
        if self._last is not None:
            self._spent += min(max(0.0, now - self._last), _LONGEST_STEP, self._bound / 2)
        self._last = now
        return self._spent


@attrs.define(kw_only=True, eq=False)
class RetryBudget:
    """A token bucket, as in the standard retry mode of the AWS SDKs, that prevents a storm of retries in an outage.

    A retry costs `cost` tokens (`timeout_cost` after a timeout); a success returns `refund` tokens. With an empty
    bucket nothing is retried until some requests succeed.
    """

    capacity: float = 500.0
    cost: float = 5.0
    timeout_cost: float = 10.0
    refund: float = 1.0
    left: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.left = self.capacity

    def take(self, error: FalError) -> bool:
        """Whether a retry after this error is allowed. If so, its cost is taken from the bucket."""
        price = self.timeout_cost if isinstance(error, TransportTimeoutError) else self.cost
        if price > self.left:
            return False
        self.left -= price
        return True

    def succeeded(self) -> None:
        if self.left < self.capacity:
            self.left = min(self.capacity, self.left + self.refund)
