"""The reasons to stop a whole batch: an error that every further item would get, too many failures, `max_cost`."""

from __future__ import annotations

from decimal import Decimal

from fal_async.batch.requests.request_maker import Outcome
from fal_async.batch.shown_values import short
from fal_async.errors import (
    AuthenticationError,
    BalanceExhaustedError,
    BatchStoppedError,
    ConfigurationError,
    FalError,
    LedgerError,
    NotFoundError,
    PermissionDeniedError,
    SessionStateError,
)

JUDGED_FROM = 20
"""Number of items that must have ended before `max_failures` as a share is applied."""


def check_max_failures(value: object) -> None:
    """Raise ConfigurationError unless it is a count (an int >= 0), a share (0 < float < 1), or None."""
    count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    share = isinstance(value, float) and 0 < value < 1
    if value is not None and not (count or share):
        raise ConfigurationError(
            f"max_failures={short(repr(value))}: expected a number of items (an int >= 0), a share of them "
            "(0 < float < 1), or None"
        )


def max_cost_of(value: object) -> Decimal | None:
    """Return `max_cost=` as an exact amount: a float is read as it is printed, so that 0.1 is a tenth.

    Raises ConfigurationError unless it is a finite number > 0, or None.
    """
    if value is None:
        return None
    amount = Decimal(0)
    if isinstance(value, float):
        amount = Decimal(float.__repr__(value))
    elif isinstance(value, Decimal | int) and not isinstance(value, bool):
        amount = Decimal(value)
    if not amount.is_finite() or amount <= 0:
        raise ConfigurationError(
            f"max_cost={short(repr(value))}: expected US dollars > 0, such as 20 or Decimal('0.5'), or None"
        )
    return amount


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
        outcome: the outcome of the request of one item.
        accepted: whether fal has accepted a request of this batch. If so, the API key and the endpoint are right,
            and a 403 or 404 is about this one input: for example, a firewall may have refused it.
    """
    error = outcome.error
    if outcome.affects_all or isinstance(error, SessionStateError | LedgerError | BatchStoppedError):
        return error
    if outcome.taken or error is None:
        return None
    if isinstance(error, AuthenticationError | BalanceExhaustedError):
        return error
    if isinstance(error, PermissionDeniedError | NotFoundError) and not accepted:
        return error
    return None
