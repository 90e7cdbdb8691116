"""Map each FalError to the HTTP response for the caller of *your* application: a status and a body without secrets.

Only errors about the caller's own input keep fal's words. Errors about your API key, account, configuration or
network are described in general terms; the original error belongs in your log.
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
    ResultExpiredError: (410, "The result is no longer available"),
    # The application chose the endpoint: a wrong one is not the caller's mistake.
    NotFoundError: (502, "The model could not be reached"),
    StartTimeoutError: (504, "The model did not start in time"),
    ClientTimeoutError: (504, "The model did not answer in time"),
    TransportTimeoutError: (504, "The model did not answer in time"),
    RequestCancelledError: (409, "The request was cancelled"),
    # Not 502 to 504: many clients, including fal's own (protocol 3.4), retry these, and may be billed twice.
    SubmissionUncertainError: (
        500,
        "The request may have been accepted; if repeated, it may be billed twice",
    ),
    KeyConflictError: (422, "The key was already used for another request"),
    SessionStateError: (503, "The service is not available now"),
    LedgerError: (503, "The service is not available now"),  # nothing was sent
    ConfigurationError: (500, "The request could not be made"),
    WebhookVerificationError: (401, "Not a valid delivery"),
    FalError: (502, "The model could not answer"),
}
"""Status and text by class; the most specific class applies."""
_SHOWN = (
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
"""Errors whose class name the caller sees. Other names could reveal an empty balance or a wrong API key."""
_IN_DOUBT = 503, "It is not known yet whether the request was accepted; try again later with the same key"
_NOT_YET = 409, "There is no result yet; try again later with the same key"
"""Responses for calls with a key. A second call with the same key is the same request, and is not billed again."""
_LATER = 5
"""Seconds for `Retry-After`; most requests are completed by then."""


@attrs.frozen(kw_only=True)
class ErrorAnswer:
    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]


def answer_to(error: FalError) -> ErrorAnswer:
    """Return the response for `error`.

    Its body is `{"detail", "error", "request_id", "retryable"}`, and for a ValidationError also `errors`. The field
    `error` is the name of the class, or "FalError" for a class that the caller must not see.
    """
    status, text = next(_ANSWERS[kind] for kind in type(error).__mro__ if kind in _ANSWERS)
    seconds = error.retry_after if isinstance(error, ApiError) else None
    if isinstance(error, RateLimitError) and error.request_id is not None and not error.retryable:
        # A poll was refused, but fal has accepted the request: a retry would submit another one, also billed.
        (status, text), seconds = _ANSWERS[SubmissionUncertainError], None
    if (later := _with_the_same_key(error)) is not None:
        (status, text), seconds = later, _LATER
    if type(error) is NotFoundError and is_unknown_request(error.body):  # the caller sent the request id
        status, text = 404, "No such request is known"
    body: dict[str, Any] = {
        "detail": text or error.message,
        "error": type(error).__name__ if isinstance(error, _SHOWN) else FalError.__name__,
        "request_id": error.request_id,
        "retryable": error.retryable or later is not None,
    }
    if isinstance(error, ValidationError):
        body["errors"] = error.to_dict()["errors"]
    headers = {} if seconds is None else {"Retry-After": str(math.ceil(seconds))}
    # The errors of an input may contain values that JSON can't represent.
    return ErrorAnswer(status=status, body=plain(body), headers=headers)


def _with_the_same_key(error: FalError) -> tuple[int, str] | None:
    """Return status and text if the call has a key and may be repeated unchanged; else None."""
    if error.key is None:
        return None
    if isinstance(error, SubmissionUncertainError):
        return _IN_DOUBT
    if isinstance(error, ClientTimeoutError) and error.cancel_outcome is None:
        return _NOT_YET
    return None
