"""Exit statuses of the command line, and the errors that cause them."""

from __future__ import annotations

from fal_async.batch.summary import BatchSummary
from fal_async.errors import (
    AuthenticationError,
    BatchStoppedError,
    ConfigurationError,
    FalError,
    PermissionDeniedError,
    SubmissionUncertainError,
)

DONE, FAILED, USAGE, REFUSED, UNCERTAIN, STOPPED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
_STATUSES: tuple[tuple[tuple[type[FalError], ...], int], ...] = (
    (
        (AuthenticationError, PermissionDeniedError),
        REFUSED,
    ),  # BalanceExhaustedError is a PermissionDeniedError
    ((SubmissionUncertainError,), UNCERTAIN),
    ((BatchStoppedError,), STOPPED),
    ((ConfigurationError,), USAGE),
)


def of_error(error: FalError) -> int:
    """Return the exit status for an error that ended the command."""
    return next((status for kinds, status in _STATUSES if isinstance(error, kinds)), FAILED)


def of_summary(summary: BatchSummary) -> int:
    """Return the exit status of a batch in which every input has its outcome."""
    if summary.uncertain:
        return UNCERTAIN
    return FAILED if summary.failed else DONE
