"""What a person can do about an error: the second line of an error message."""

from __future__ import annotations

from fal_async.cli.messages import PROGRAM
from fal_async.errors import (
    AuthenticationError,
    BalanceExhaustedError,
    FalError,
    NotFoundError,
    RateLimitError,
    SubmissionUncertainError,
)


def advice_on(error: FalError) -> str | None:
    """Return the line with the way out of an error; None if the error's own message says everything."""
    if isinstance(error, SubmissionUncertainError):
        return (
            "the request may run and be billed, and was not sent again. To look for it: "
            f"{PROGRAM} requests {error.endpoint_id or 'ENDPOINT'}"
        )
    if isinstance(error, AuthenticationError):
        return "fal does not know the API key: set FAL_KEY to a key of https://fal.ai/dashboard/keys"
    if isinstance(error, BalanceExhaustedError):
        return "to top up the balance: https://fal.ai/dashboard/billing"
    if isinstance(error, RateLimitError):
        return "fal limits the requests of your account: try again later"
    if error.request_id is not None:
        return (
            f"to look at the request: {PROGRAM} status {error.endpoint_id or 'ENDPOINT'} {error.request_id}"
        )
    if isinstance(error, NotFoundError):
        return f"to search for models: {PROGRAM} models SEARCH"
    return None
