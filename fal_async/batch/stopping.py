"""What stops a whole batch: an error that every further item would meet, or too many failures."""

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
"""Ends, before a share of failures says anything."""


def check_max_failures(value: object) -> None:
    """A count from 0, or a share between 0 and 1, or None."""
    count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    share = isinstance(value, float) and 0 < value < 1
    if value is not None and not (count or share):
        raise ConfigurationError(
            f"max_failures={value!r}: expected a number of items (an int >= 0), a share of them (0 < float < 1), "
            "or None"
        )


def check_max_cost(value: object) -> None:
    """There are no prices yet: ConfigurationError for any limit."""
    if value is not None:
        raise ConfigurationError(
            f"max_cost={value!r}: the price of this endpoint is not known, so that no cost can be held to a limit. "
            "max_failures=, or fewer inputs, bound a run"
        )


def too_many(limit: int | float | None, failed: int, ended: int) -> bool:
    """Whether so many failures among so many ends are more than the limit allows."""
    if limit is None:
        return False
    if isinstance(limit, int):
        return failed > limit
    return ended >= JUDGED_FROM and failed > limit * ended


def ends_all(outcome: Outcome, *, accepted: bool) -> FalError | None:
    """The error, if every further item would meet it, too.

    `accepted`: whether fal has taken a request of this batch. A 403 is no matter of the key then, nor a 404 of the
    endpoint: a firewall, say, refused this input.
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
