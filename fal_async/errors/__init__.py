"""Every error that leaves this package, under one root.

::

    FalError
    |- ConfigurationError(ValueError)      missing key, bad endpoint id, bad option, input JSON can't carry
    |- SessionStateError(RuntimeError)     not open, closed, other event loop
    |- TransportError                      no usable HTTP response; __cause__ is aiohttp's
    |  '- TransportTimeoutError(TimeoutError)
    |- SubmissionUncertainError            may or may not have been accepted; never sent again by itself
    |- KeyConflictError                    the key stands for another input in the ledger
    |- LedgerError                         the ledger can't be read or written
    |- BatchStoppedError                   a batch was stopped by a limit of its own
    |- ApiError                            fal answered with an error
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
    |- RequestFailedError                  completed with an error and no body that says more
    |- RequestCancelledError               the request was cancelled on the server
    |- ClientTimeoutError(TimeoutError)    `timeout` elapsed in this process
    |- ResponseDecodeError                 an answer that does not have the promised shape
    |- StreamError, RealtimeError, UploadError, DownloadError
    '- WebhookVerificationError

`str(error)` is one short line without secrets, inputs or URL queries. `retryable` says whether the same
call may be made again with hope and without paying twice. Every error survives pickle, copy and deepcopy.
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
