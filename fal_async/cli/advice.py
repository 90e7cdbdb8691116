"""What a person can do about an error: the second line of an error message."""

from __future__ import annotations

from fal_async.cli.messages import PROGRAM
from fal_async.errors import (
    ApiError,
    BalanceExhaustedError,
    ClientTimeoutError,
    DownloadError,
    FalError,
    NotFoundError,
    ResultExpiredError,
    SubmissionUncertainError,
    TransportError,
    ValidationError,
)


def advice_on(error: FalError) -> str | None:
    """Return the line with the way out of an error; None if the error's own message has it."""
    endpoint = error.endpoint_id or "ENDPOINT"
    if isinstance(error, SubmissionUncertainError):
        return f"it may run and be billed; to look for it in fal's history: {PROGRAM} requests {endpoint}"
    if isinstance(error, BalanceExhaustedError):
        return "to top up the balance: https://fal.ai/dashboard/billing"
    if isinstance(error, ValidationError):
        return f"to see the members of the input: {PROGRAM} schema {endpoint}"
    if isinstance(error, ResultExpiredError):
        return None
    if isinstance(error, NotFoundError):
        return (
            f"to list your requests: {PROGRAM} requests {endpoint}"
            if error.request_id
            else f"to search for models: {PROGRAM} models SEARCH"
        )
    if error.request_id and _has_a_result_to_fetch(error):
        return f"to get the result of the request: {PROGRAM} result {endpoint} {error.request_id} --wait"
    return None


def _has_a_result_to_fetch(error: FalError) -> bool:
    return isinstance(error, TransportError | ClientTimeoutError | DownloadError) or (
        isinstance(error, ApiError) and error.retryable
    )
