"""What a person can do about an error: the second line of an error message."""

from __future__ import annotations

from fal_async.cli.messages import PROGRAM
from fal_async.errors import (
    ApiError,
    BalanceExhaustedError,
    CancelOutcome,
    ClientTimeoutError,
    DownloadError,
    FalError,
    NotFoundError,
    ResultExpiredError,
    SubmissionUncertainError,
    TransportError,
    ValidationError,
)

_CANCELLED = (CancelOutcome.CANCELLED, CancelOutcome.CANCELLATION_REQUESTED)


def advice_on(error: FalError) -> str | None:
    """Return the line with the way out of an error; None if the error's own message has it."""
    endpoint = error.endpoint_id or "ENDPOINT"
    if isinstance(error, SubmissionUncertainError):
        return f"it may run and be billed; to look for it in fal's history: {PROGRAM} requests {endpoint}"
    if isinstance(error, BalanceExhaustedError):
        return "to top up the balance: https://fal.ai/dashboard/billing"
    if isinstance(error, ValidationError):
        return f"to see the members of the input: {PROGRAM} schema {endpoint}"
    if error.request_id is not None:
        return _advice_on_request(error, f"{endpoint} {error.request_id}")
    if isinstance(error, NotFoundError) and error.endpoint_id:
        return f"to search for models: {PROGRAM} models SEARCH"
    return None


def _advice_on_request(error: FalError, request: str) -> str | None:
    if isinstance(error, ResultExpiredError):
        return None
    if isinstance(error, NotFoundError):
        return f"to list your requests: {PROGRAM} requests {error.endpoint_id or 'ENDPOINT'}"
    if isinstance(error, ClientTimeoutError) and error.cancel_outcome in _CANCELLED:
        return f"to look again: {PROGRAM} status {request}"
    if isinstance(error, TransportError | ClientTimeoutError | DownloadError) or _is_too_early(error):
        return f"to get the result of the request: {PROGRAM} result {request} --wait"
    return None


def _is_too_early(error: FalError) -> bool:
    """Return whether the request may still complete: fal has no result yet, or could not answer."""
    return isinstance(error, ApiError) and (error.retryable or "still in progress" in error.message)
