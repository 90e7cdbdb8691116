"""What stops a whole batch: an error that every further item would get, or too many failures."""

from __future__ import annotations

from fal_async.batch.requests.request_maker import Outcome
from fal_async.errors import (
    AuthenticationError,
    BalanceExhaustedError,
    ConfigurationError,
    FalError,
    LedgerError,
    NotFoundError,
    PermissionDeniedError,
    SessionStateError,
)

JUDGED_FROM = 20
"""Items that must have ended before a share of failures is judged."""


def check_max_failures(value: object) -> None:
    """Raise ConfigurationError unless it is a count (an int >= 0), a share (0 < float < 1), or None."""
    count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    share = isinstance(value, float) and 0 < value < 1
    if value is not None and not (count or share):
        raise ConfigurationError(
            f"max_failures={value!r}: expected a number of items (an int >= 0), a share of them (0 < float < 1), "
            "or None"
        )


def check_max_cost(value: object) -> None:
    """Raise ConfigurationError for any limit: this version knows no prices."""
    if value is not None:
        raise ConfigurationError(
            f"max_cost={value!r}: the price of this endpoint is not known, so its cost can't be limited. Limit the "
            "run by max_failures=, or by fewer inputs"
        )


def too_many(limit: int | float | None, failed: int, ended: int) -> bool:
    """Return whether `failed` of `ended` items are more failures than `limit` allows."""
    if limit is None:
        return False
    if isinstance(limit, int):
        return failed > limit
    return ended >= JUDGED_FROM and failed > limit * ended


def ends_all(outcome: Outcome, *, accepted: bool) -> FalError | None:
    """Return the outcome's error if every further item would get it, too; else None.

    Args:
        outcome: how the request of one item ended.
        accepted: whether fal has taken a request of this batch. If so, a 403 does not mean that the key is wrong,
            nor a 404 that the endpoint is: a firewall, for example, may have refused this one input.
    """
    error = outcome.error
    if outcome.meets_all or isinstance(error, SessionStateError | LedgerError):
        return error
    if outcome.taken or error is None:
        return None
    if isinstance(error, AuthenticationError | BalanceExhaustedError):
        return error
    if isinstance(error, PermissionDeniedError | NotFoundError) and not accepted:
        return error
    return None
