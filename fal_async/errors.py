"""Every error that leaves this package, under one root.

::

    FalError
    |- ConfigurationError(ValueError)      missing key, bad endpoint id, bad option, input JSON can't carry
    |- SessionStateError(RuntimeError)     not open, closed, other event loop
    |- TransportError                      no usable HTTP response; __cause__ is aiohttp's
    |  '- TransportTimeoutError(TimeoutError)
    |- SubmissionUncertainError            may or may not have been accepted; never sent again by itself
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

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

MAX_MESSAGE = 200
MAX_LINE = 290

_SECRETS = (  # compiled by `re` when the first error is made: most processes make none
    # A data URI is the caller's input, whatever its length.
    (r"(?i)\bdata:[\w.+/-]*[;,][^\s'\"]*", "data:..."),
    (r"(?i)\b([a-z][a-z0-9+.-]{0,20}://)\S{0,300}@", r"\1...@"),
    # Queries and fragments carry webhook secrets and signed tokens.
    (r"(?i)\b([a-z][a-z0-9+.-]{0,20}://[^\s?#'\"]*)([?#])[^\s'\"]*", r"\1\2..."),
    (r"\?[\w.%~-]+=[^\s'\"]*", "?..."),
    # Keys as headers have them, alone, and JSON web tokens.
    (r"(?i)\b(Key)\s+[\w.~+/=-]+:[\w.~+/=-]+", r"\1 ..."),
    (r"(?i)\b(Bearer|Basic)\s+[\w.~+/=-]{6,}", r"\1 ..."),
    (r"(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:[\w-]+", "..."),
    (r"\beyJ[\w-]{8,}(?:\.[\w-]*)*", "..."),
    # Nothing a person reads is this long in one piece; base64 and tokens are.
    (r"[^\s=]{120,}", "..."),
)


def one_line(text: object, limit: int = MAX_MESSAGE) -> str:
    """`text` as one line of at most `limit` characters, with secrets, data URIs and URL queries cut out."""
    line = str(text)[: 64 * MAX_LINE]
    for pattern, replacement in _SECRETS:
        line = re.sub(pattern, replacement, line)
    # What UTF-8 can't carry (half a surrogate pair out of a JSON text) would break who prints it.
    line = " ".join(line.encode("utf-8", "replace").decode().split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def safe_repr(value: object) -> str:
    """The `repr` of what the server chose, fit for logs."""
    return one_line(repr(value))


def _word(text: str | None) -> str | None:
    return None if text is None else one_line(text)


@attrs.frozen(kw_only=True)
class ErrorDetail:
    """One entry of a model error (fal docs "model errors", protocol 9.1).

    `type` is stable and meant for programs, `msg` for people. `input` is the offending value as the server
    echoed it: never printed, since it may be a whole picture.
    """

    msg: str = attrs.field(repr=safe_repr)
    type: str = attrs.field(default="", repr=safe_repr)
    loc: tuple[str | int, ...] = attrs.field(default=(), repr=safe_repr)
    ctx: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    url: str | None = attrs.field(default=None, repr=False)
    input: Any = attrs.field(default=None, repr=False)

    def __str__(self) -> str:
        path = ".".join(str(part) for part in self.loc)
        return one_line(f"{path}: {self.msg}" if path else self.msg)


class FalError(Exception):
    """Root of all errors of this package.

    Attributes:
        message: what went wrong, one line, safe to show and to log.
        request_id: fal's id of the request, where it is known.
        endpoint_id: the endpoint, where it is known.
        retryable: whether the same call may be made again, with hope and without paying twice.
    """

    retryable: bool = False

    def __init__(
        self,
        message: object,
        *,
        request_id: str | None = None,
        endpoint_id: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        self.message = one_line(message)
        super().__init__(self.message)
        self.request_id = request_id
        self.endpoint_id = endpoint_id
        if retryable is not None:
            self.retryable = retryable

    def __str__(self) -> str:
        where = [f"request {self.request_id}"] if self.request_id else []
        where += [f"endpoint {self.endpoint_id}"] if self.endpoint_id else []
        line = self._headline() + (f" ({', '.join(where)})" if where else "")
        return one_line(line, MAX_LINE)

    def _headline(self) -> str:
        return self.message

    def to_dict(self) -> dict[str, Any]:
        """The error as JSON-able values, without inputs, bodies, secrets: fit for logs and HTTP answers."""
        return {
            "error": type(self).__name__,
            "message": self._headline(),
            "request_id": self.request_id,
            "endpoint_id": self.endpoint_id,
            "retryable": self.retryable,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions pickle by calling the class with `args`, which keyword-only arguments can't survive.
        return _rebuild, (type(self), self.args), self.__dict__


def name_request(error: FalError, request_id: str | None, endpoint_id: str | None) -> None:
    """Which request `error` is about, where it does not know yet."""
    error.request_id = error.request_id or request_id
    error.endpoint_id = error.endpoint_id or endpoint_id


class about:  # as `contextlib.suppress`; no generator: it is on the path of each result
    """Errors of ours that leave this block name the request and the endpoint, where they did not yet."""

    __slots__ = ("_endpoint_id", "_request_id")

    def __init__(self, request_id: str | None, endpoint_id: str | None) -> None:
        self._request_id, self._endpoint_id = request_id, endpoint_id

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FalError):
            name_request(error, self._request_id, self._endpoint_id)


def _rebuild(kind: type[FalError], args: tuple[Any, ...]) -> FalError:
    error = kind.__new__(kind, *args)
    error.args = args  # OSError (behind TimeoutError) leaves this to __init__
    return error


class ConfigurationError(FalError, ValueError):
    """A missing or malformed key, endpoint id, option or input, found before any request was sent."""


class SessionStateError(FalError, RuntimeError):
    """The session is closed, or belongs to another event loop."""


class TransportError(FalError):
    """No usable HTTP response: the connection failed or broke. `__cause__` is aiohttp's own error."""

    retryable = True


class TransportTimeoutError(TransportError, TimeoutError):
    """One HTTP request took longer than its own time limit (see `Timeouts`)."""


class SubmissionUncertainError(FalError):
    """A paid request (submit or run) broke after it may have been accepted. It is never sent again by itself.

    fal has no idempotency key for submit or run (protocol 12): a second one may be a second bill.

    Attributes:
        operation: `"submit"` or `"run"`.
        started_at, ended_at: when the attempt began and broke, Unix seconds of this machine's clock.
        input_digest: SHA-256 (hex) of the canonical JSON input, to recognise the request later.
    """

    def __init__(
        self,
        message: object,
        *,
        operation: str = "submit",
        started_at: float | None = None,
        ended_at: float | None = None,
        input_digest: str | None = None,
        request_id: str | None = None,
        endpoint_id: str | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, endpoint_id=endpoint_id)
        self.operation = operation
        self.started_at = started_at
        self.ended_at = ended_at
        self.input_digest = input_digest

    def to_dict(self) -> dict[str, Any]:
        return {
            **super().to_dict(),
            "operation": self.operation,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "input_digest": self.input_digest,
        }


class ApiError(FalError):
    """fal (or a gateway before it) answered with an error status.

    Attributes:
        status: the HTTP status.
        error_type: fal's machine-readable type (protocol 9.1, 9.2), from the body or `X-Fal-Error-Type`.
        errors: the entries of a model error, or an empty list.
        headers: the answer's headers, names in lower case.
        body: the answer's body: decoded JSON, or text. May echo the input; never part of the message.
        retry_after: seconds that the server asked to wait, or None.
        retryable: what fal said (`X-Fal-Needs-Retry`, `X-Fal-Retryable`), else what the status implies.
    """

    def __init__(
        self,
        message: object,
        *,
        status: int,
        error_type: str | None = None,
        errors: Sequence[ErrorDetail] = (),
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
        request_id: str | None = None,
        endpoint_id: str | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, endpoint_id=endpoint_id, retryable=retryable)
        self.status = status
        self.error_type = _word(error_type)
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.body = body
        self.retry_after = retry_after

    def _headline(self) -> str:
        return f"{self.status} {self.message}"

    def to_dict(self) -> dict[str, Any]:
        details = [
            {"loc": [_loc_part(p) for p in d.loc], "msg": one_line(d.msg), "type": one_line(d.type)}
            for d in self.errors
        ]
        return {
            **super().to_dict(),
            "status": self.status,
            "error_type": self.error_type,
            "errors": details,
            "retry_after": self.retry_after,
        }


def _loc_part(part: str | int) -> str | int:
    return one_line(part) if isinstance(part, str) else part


class AuthenticationError(ApiError):
    """401: the key is missing, unknown or revoked."""


class PermissionDeniedError(ApiError):
    """403: the key is known but may not do this."""


class BalanceExhaustedError(PermissionDeniedError):
    """403: the account's balance is used up and it is locked. Top up at https://fal.ai/dashboard/billing."""


class NotFoundError(ApiError):
    """404: no such endpoint, path or request."""


class ResultExpiredError(NotFoundError):
    """404 for a request that existed: fal keeps results for 1 h, 6 min from 10 KB on (protocol 4.4)."""


class ValidationError(ApiError):
    """422: the model refuses the input; `errors` says where and why."""

    def field_errors(self, field: str) -> list[ErrorDetail]:
        """The entries about one field of the input, such as `"prompt"` (a leading `body` is passed over)."""
        return [d for d in self.errors if field in (d.loc[1:2] if d.loc[:1] == ("body",) else d.loc[:1])]


class ContentPolicyError(ValidationError):
    """422 `content_policy_violation`: the input or output was flagged."""


class RateLimitError(ApiError):
    """429: too many at once (protocol 9.4). It was refused before its start: sending it again is safe."""

    retryable = True


class StartTimeoutError(ApiError):
    """504: no runner started within the caller's `start_timeout` (protocol 4.6). Nothing ran."""


class ServerError(ApiError):
    """5xx from fal, the model, or the ingress in front of them."""


class RequestFailedError(FalError):
    """The request completed with an error, and its result has no body that says more.

    Attributes:
        error_type: fal's machine-readable type (protocol 9.2), or None.
    """

    def __init__(
        self,
        message: object,
        *,
        error_type: str | None = None,
        request_id: str | None = None,
        endpoint_id: str | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, endpoint_id=endpoint_id)
        self.error_type = _word(error_type)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "error_type": self.error_type}


class RequestCancelledError(FalError):
    """The request was cancelled on the server (its result answers 499; protocol 4.5)."""


class ClientTimeoutError(FalError, TimeoutError):
    """The caller's `timeout` elapsed.

    Attributes:
        timeout: the limit, in seconds.
        last_status: the last status seen, such as `"IN_QUEUE at position 4"`, or None.
        cancel_outcome: what became of the remote cancel: a `CancelOutcome` value such as `"CANCELLED"`,
            `"FAILED"` where the cancel did not go through (the request may still run and be billed),
            or None where none was sent.
    """

    def __init__(
        self,
        message: object,
        *,
        timeout: float,
        last_status: str | None = None,
        cancel_outcome: str | None = None,
        request_id: str | None = None,
        endpoint_id: str | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, endpoint_id=endpoint_id)
        self.timeout = timeout
        self.last_status = _word(last_status)
        self.cancel_outcome = cancel_outcome

    def to_dict(self) -> dict[str, Any]:
        return {
            **super().to_dict(),
            "timeout": self.timeout,
            "last_status": self.last_status,
            "cancel_outcome": self.cancel_outcome,
        }


class ResponseDecodeError(FalError):
    """An answer does not have the promised shape.

    Attributes:
        paths: what did not fit, such as `"required field missing @ $.logs[0].message"`.
        body: the answer as it came, which is paid for: decoded JSON where it is that, else bytes. Not in the
            message.
    """

    def __init__(
        self,
        message: object,
        *,
        paths: Sequence[str] = (),
        body: Any = None,
        request_id: str | None = None,
        endpoint_id: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, endpoint_id=endpoint_id, retryable=retryable)
        self.paths = [one_line(path) for path in paths]
        self.body = body

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "paths": self.paths}


class StreamError(FalError):
    """A stream broke, stalled or carried something unreadable after it had begun.

    Attributes:
        reason: "cut" (it ended before its end), "idle" (nothing came for `idle_timeout`), "error" (the model
            sent an error event), "undecodable", "too_large", or "empty" (it ended without any value).
        received: the newest values that had come, in order: at most about a megabyte of them.
        count: how many values had come in all.
        detail: what an error event carried, decoded where it is JSON.
    """

    def __init__(
        self,
        message: object,
        *,
        reason: str = "cut",
        received: Sequence[Any] = (),
        count: int | None = None,
        detail: Any = None,
        request_id: str | None = None,
        endpoint_id: str | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, endpoint_id=endpoint_id)
        self.reason = reason
        self.received = list(received)
        self.count = len(self.received) if count is None else count
        self.detail = detail

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "reason": self.reason, "count": self.count}


class RealtimeError(FalError):
    """A realtime connection failed or was closed abnormally.

    Attributes:
        code: the WebSocket close code (1006: it just broke), or None where an error frame came first.
        reason: the server's own words, or `""`.
        error: the error word of a frame, such as `"INTERNAL_ERROR"`, or None.
        in_flight: messages that were sent and not answered: the model may or may not have had them.
    """

    def __init__(
        self,
        message: object,
        *,
        code: int | None = None,
        reason: str = "",
        error: str | None = None,
        in_flight: Sequence[Any] = (),
        request_id: str | None = None,
        endpoint_id: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, endpoint_id=endpoint_id, retryable=retryable)
        self.code = code
        self.reason = one_line(reason)
        self.error = error
        self.in_flight = list(in_flight)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "code": self.code, "reason": self.reason, "realtime_error": self.error}


class UploadError(FalError):
    """A file could not be uploaded: it can't be read, or fal did not take it. `__cause__` is the first cause.

    Attributes:
        part: the part of a large file that failed for good, counted from 1, or None.
        causes: what went wrong on each route that was tried, in that order.
    """

    def __init__(
        self,
        message: object,
        *,
        part: int | None = None,
        causes: Sequence[Exception] = (),
        retryable: bool | None = None,
        request_id: str | None = None,
        endpoint_id: str | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, endpoint_id=endpoint_id, retryable=retryable)
        self.part = part
        self.causes = tuple(causes)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "part": self.part}


class DownloadError(FalError):
    """A file could not be written, or what arrived is not what was announced. No part of it is left."""


class WebhookVerificationError(FalError):
    """A webhook delivery is not from fal, or was altered, or is too old."""
