"""The errors of this package, under one root.

::

    FalError
    |- ConfigurationError(ValueError)      missing key, invalid endpoint id or option, input that JSON can't carry
    |- SessionStateError(RuntimeError)     the session is closed, or belongs to another event loop
    |- TransportError                      no usable HTTP response; __cause__ is aiohttp's
    |  '- TransportTimeoutError(TimeoutError)
    |- SubmissionUncertainError            fal may have accepted the request; it is never sent again automatically
    |- KeyConflictError                    the ledger has the key with another endpoint or input
    |- LedgerError                         the ledger can't be read or written
    |- BatchStoppedError                   a limit of a batch: `max_failures` or `max_cost`
    |- ApiError                            fal responded with an error
    |  |- AuthenticationError              401
    |  |- PermissionDeniedError            403
    |  |  '- BalanceExhaustedError         403, the account is locked until it is topped up
    |  |- NotFoundError                    404
    |  |  '- ResultExpiredError            fal no longer keeps the result
    |  |- ValidationError                  422
    |  |  '- ContentPolicyError            422 content_policy_violation
    |  |- RateLimitError                   429
    |  |- StartTimeoutError                504, the caller's start_timeout passed
    |  '- ServerError                      5xx
    |- RequestFailedError                  the request failed, and no error body says why
    |- RequestCancelledError               the request was cancelled on fal
    |- ClientTimeoutError(TimeoutError)    the call's `timeout` has passed
    |- ResponseDecodeError                 a response that does not have the documented shape
    |- StreamError, RealtimeError, UploadError, DownloadError
    '- WebhookVerificationError

`str(error)` is one short line without secrets, inputs or URL queries. `retryable` says whether repeating the same
call may succeed and can't be billed twice. Every error survives pickle, copy and deepcopy.
"""

from __future__ import annotations

from fal_async.errors.api import (
    ApiError,
    AuthenticationError,
    BalanceExhaustedError,
    ContentPolicyError,
    ErrorDetail,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ResultExpiredError,
    ServerError,
    StartTimeoutError,
    ValidationError,
)
from fal_async.errors.failures import (
    BatchStoppedError,
    ClientTimeoutError,
    DownloadError,
    KeyConflictError,
    LedgerError,
    RealtimeError,
    RequestCancelledError,
    RequestFailedError,
    ResponseDecodeError,
    StreamError,
    SubmissionUncertainError,
    TransportError,
    TransportTimeoutError,
    UploadError,
    WebhookVerificationError,
)
from fal_async.errors.redaction import Secret, one_line, safe_repr, shown
from fal_async.errors.root import (
    NO_REF,
    CancelOutcome,
    ConfigurationError,
    FalError,
    RequestRef,
    SessionStateError,
    naming,
)
from fal_async.errors.tracebacks import callers_frames, short_tracebacks, shorten, shortened

__all__ = [
    "Secret",
    "NO_REF",
    "ApiError",
    "AuthenticationError",
    "BalanceExhaustedError",
    "BatchStoppedError",
    "CancelOutcome",
    "ClientTimeoutError",
    "ConfigurationError",
    "ContentPolicyError",
    "DownloadError",
    "ErrorDetail",
    "FalError",
    "KeyConflictError",
    "LedgerError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "RealtimeError",
    "RequestCancelledError",
    "RequestFailedError",
    "RequestRef",
    "ResponseDecodeError",
    "ResultExpiredError",
    "ServerError",
    "SessionStateError",
    "StartTimeoutError",
    "StreamError",
    "SubmissionUncertainError",
    "TransportError",
    "TransportTimeoutError",
    "UploadError",
    "ValidationError",
    "WebhookVerificationError",
    "callers_frames",
    "naming",
    "one_line",
    "safe_repr",
    "short_tracebacks",
    "shorten",
    "shortened",
    "shown",
]
