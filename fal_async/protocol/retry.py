"""Whether a failed request is sent again, and after how long (protocol 12): pure.

Requests that only read are repeated freely. A paid one (run, submit) is repeated only where fal surely did
not take it; where it may have, that is said, and nothing is sent.
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
"""Seconds of an attempt, as `Timeouts.total` has it."""
_SHORTEST, _LONGEST_UNREACHED = 0.05, 0.25
"""Seconds."""


class Verdict(enum.Enum):
    RETRY = "retry"
    RAISE = "raise"
    UNCERTAIN = "uncertain"
    """A paid request that may have been taken."""


def judge(request: HttpRequest, error: FalError, *, sent: bool, policy: RetryPolicy) -> Verdict:
    """`sent`: whether anything of the request may have left this process."""
    if isinstance(error, TransportError):
        if sent and request.operation in PAID:
            return Verdict.UNCERTAIN
        return Verdict.RETRY if error.retryable else Verdict.RAISE
    if isinstance(error, ApiError):
        return _judge_answer(request, error, policy)
    # Nonsense in place of the JSON that was promised: worth another look, if looking is free.
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
    # An ingress 502, 504 or the like may come after the request was taken.
    return Verdict.UNCERTAIN


def delay_before_retry(
    policy: RetryPolicy, attempt: int, error: FalError, chance: float, *, reached: bool = True
) -> float | None:
    """Seconds to wait after failed attempt number `attempt` (from 1); None: the server asks for too long a wait.

    Full jitter, `chance` being a random number from 0 to 1; `Retry-After` wins over it. Where the server was
    not `reached` at all (a wrong host, no network), the waits are short, so that the error comes soon.
    """
    asked = error.retry_after if isinstance(error, ApiError) else None
    if asked is not None:
        # "0" must not make a busy loop out of a fetch that is repeated for minutes.
        return max(asked, _SHORTEST) if asked <= policy.max_retry_after else None
    longest = policy.max_delay if reached else min(policy.max_delay, _LONGEST_UNREACHED)
    return chance * min(longest, policy.base_delay * 2.0 ** min(attempt, 30))


def allowed_attempts(request: HttpRequest, policy: RetryPolicy) -> int:
    """Fetching a result that is there is bounded by time alone, unless retries are switched off."""
    return 1_000_000 if request.persistent and policy.max_attempts > 1 else policy.max_attempts


def allowed_seconds(request: HttpRequest, policy: RetryPolicy) -> float:
    return policy.result_total if request.persistent else policy.max_total


class Patience:
    """Counts seconds up to a bound, between looks at a clock.

    Of the time between two looks, no more than the longest attempt or half of the bound counts: a clock that jumps,
    as one does where a laptop slept, does not use it up.
    """

    __slots__ = ("_bound", "_last", "_spent")

    def __init__(self, bound: float, now: float | None = None) -> None:
        self._bound, self._last, self._spent = bound, now, 0.0

    def at(self, now: float) -> float:
        """The seconds that count up to now; 0 at the first look."""
        if self._last is not None:
            self._spent += min(max(0.0, now - self._last), _LONGEST_STEP, self._bound / 2)
        self._last = now
        return self._spent


@attrs.define(kw_only=True, eq=False)
class RetryBudget:
    """A token bucket, as in the standard retry mode of the AWS SDKs: an outage is not answered with a storm.

    A retry costs `cost` tokens (`timeout_cost` after a time-out), a success gives `refund` back.
    An empty bucket means no retries until some requests succeed.
    """

    capacity: float = 500.0
    cost: float = 5.0
    timeout_cost: float = 10.0
    refund: float = 1.0
    left: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.left = self.capacity

    def take(self, error: FalError) -> bool:
        """Whether the retry after this error may be made; it is paid for then."""
        price = self.timeout_cost if isinstance(error, TransportTimeoutError) else self.cost
        if price > self.left:
            return False
        self.left -= price
        return True

    def succeeded(self) -> None:
        if self.left < self.capacity:
            self.left = min(self.capacity, self.left + self.refund)
