"""What an error of ours means to the caller of *your* application: an HTTP status, a body that leaks nothing.

Only what is about the caller's own input is passed on in fal's words. What is about your key, your account,
your configuration or your network is not the caller's business: it is named in general terms, and the whole
story belongs into your log.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

from fal_async.errors import (
    ApiError,
    ClientTimeoutError,
    ConfigurationError,
    FalError,
    KeyConflictError,
    LedgerError,
    NotFoundError,
    RateLimitError,
    RequestCancelledError,
    ResultExpiredError,
    SessionStateError,
    StartTimeoutError,
    SubmissionUncertainError,
    TransportTimeoutError,
    ValidationError,
    WebhookVerificationError,
)
from fal_async.outputs.json_values import plain
from fal_async.protocol.results import is_unknown_request

_ANSWERS: Mapping[type[FalError], tuple[int, str]] = {
    ValidationError: (422, ""),  # in fal's words
    RateLimitError: (429, "The service is busy; try again later"),
    ResultExpiredError: (410, "The result is no longer kept"),
    # The endpoint's name was chosen by the application: that it is wrong is no fault of the caller's.
    NotFoundError: (502, "The model could not be reached"),
    StartTimeoutError: (504, "The model did not start in time"),
    ClientTimeoutError: (504, "The model did not answer in time"),
    TransportTimeoutError: (504, "The model did not answer in time"),
    RequestCancelledError: (409, "The request was cancelled"),
    # 502 to 504 are sent again by many clients, fal's own among them (protocol 3.4): that would be paid twice.
    SubmissionUncertainError: (500, "The request may have been taken: a repetition may be paid for twice"),
    KeyConflictError: (422, "The key was used before, for something else"),
    SessionStateError: (503, "The service is not available now"),
    LedgerError: (503, "The service is not available now"),  # nothing was sent
    ConfigurationError: (500, "The request could not be made"),
    WebhookVerificationError: (401, "Not a valid delivery"),
    FalError: (502, "The model could not answer"),
}
"""The most specific class counts."""
_TOLD = (
    ValidationError,
    RateLimitError,
    ResultExpiredError,
    StartTimeoutError,
    ClientTimeoutError,
    RequestCancelledError,
    KeyConflictError,
    SubmissionUncertainError,
    WebhookVerificationError,
)
"""Errors whose names are for the caller. Others would tell of an empty balance or a wrong key."""
_IN_DOUBT = 503, "Whether the request was taken is not known yet; try again later with the same key"
_NOT_YET = 409, "There is no result yet; try again later with the same key"
"""Of calls with a key: the same key is the same request, so that who asks again pays nothing more."""
_LATER = 5
"""Seconds after which to ask again; most models are done by then."""


@attrs.frozen(kw_only=True)
class ErrorAnswer:
    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]


def answer_to(error: FalError) -> ErrorAnswer:
    """`{"detail", "error", "request_id", "retryable"}`, with `errors` for a refused input.

    `error` is the class's name; "FalError" for all that is not the caller's business.
    """
    status, text = next(_ANSWERS[kind] for kind in type(error).__mro__ if kind in _ANSWERS)
    seconds = error.retry_after if isinstance(error, ApiError) else None
    if isinstance(error, RateLimitError) and error.request_id is not None and not error.retryable:
        # A poll was refused: fal has the request, and who tries again later asks for another one.
        (status, text), seconds = _ANSWERS[SubmissionUncertainError], None
    if (later := _with_the_same_key(error)) is not None:
        (status, text), seconds = later, _LATER
    if type(error) is NotFoundError and is_unknown_request(error.body):  # the caller named it
        status, text = 404, "No such request is known"
    body: dict[str, Any] = {
        "detail": text or error.message,
        "error": type(error).__name__ if isinstance(error, _TOLD) else FalError.__name__,
        "request_id": error.request_id,
        "retryable": error.retryable or later is not None,
    }
    if isinstance(error, ValidationError):
        body["errors"] = error.to_dict()["errors"]
    headers = {} if seconds is None else {"Retry-After": str(math.ceil(seconds))}
    # What was wrong with an input can be a value that JSON can't carry.
    return ErrorAnswer(status=status, body=plain(body), headers=headers)


def _with_the_same_key(error: FalError) -> tuple[int, str] | None:
    """The answer to a call with a key that may be made again as it is. None: any other."""
    if error.key is None:
        return None
    if isinstance(error, SubmissionUncertainError):
        return _IN_DOUBT
    if isinstance(error, ClientTimeoutError) and error.cancel_outcome is None:
        return _NOT_YET
    return None
