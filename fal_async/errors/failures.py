"""Errors of a call other than fal's error responses: transport, time limits, cancellation, content."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

from fal_async.errors.redaction import one_line, one_word
from fal_async.errors.root import CancelOutcome, FalError, Known, Names


class TransportError(FalError):
    """Raised when there is no usable HTTP response: the connection failed or broke. `__cause__` is aiohttp's error.

    If fal may have accepted a paid request, SubmissionUncertainError is raised instead. If the error of a
    `subscribe` has a `request_id`, fal has the request: don't submit it again, but take it up with
    `fal.queue.handle(endpoint_id, request_id).wait()`.
    """

    retryable = True


class TransportTimeoutError(TransportError, TimeoutError):
    """Raised when one HTTP request took longer than its time limit. Raise the limit with `Timeouts`."""


class SubmissionUncertainError(FalError):
    """Raised when a paid request (submit or run) failed after fal may have accepted it.

    It is never sent again automatically: fal has no idempotency key for submit or run (protocol 12), so a second
    request may be billed as well. `fal.queue.find_submission(error)` looks for the request in fal's history.

    Attributes:
        operation: `"submit"` or `"run"`.
        started_at: when the attempt began, in Unix seconds of this machine's clock, or None.
        ended_at: when it failed, in Unix seconds of this machine's clock, or None.
        input_digest: SHA-256 (hex) of the canonical JSON input, which identifies the request later, or None.
        key: the key of the call in its ledger, or None. `ledger.resolve(key, request_id=...)` records by hand what
            became of the request.
    """

    _shown = ("operation", "started_at", "ended_at", "input_digest", "key")

    def __init__(
        self,
        message: object,
        *,
        operation: str = "submit",
        started_at: float | None = None,
        ended_at: float | None = None,
        input_digest: str | None = None,
        key: str | None = None,
        **names: Unpack[Names],
    ) -> None:
        super().__init__(message, **names)
        self.key = key
        self.operation = operation
        self.started_at = started_at
        self.ended_at = ended_at
        self.input_digest = input_digest


class RequestFailedError(FalError):
    """Raised when a request completed with an error, and its result has no body that explains it.

    Attributes:
        error_type: fal's machine-readable error type (protocol 9.2), or None.
    """

    _shown = ("error_type",)

    def __init__(
        self,
        message: object,
        *,
        error_type: str | None = None,
        **names: Unpack[Names],
    ) -> None:
        super().__init__(message, **names)
        self.error_type: str | None = one_word(error_type)


class RequestCancelledError(FalError):
    """Raised when the request was cancelled on the server (its result has status 499; protocol 4.5)."""


class KeyConflictError(FalError):
    """Raised when the ledger has the key with another endpoint or another input. Nothing was sent.

    Use another key for another request, or repeat the call with the original input.

    Attributes:
        key: the key.
        differs: what is different: `"endpoint_id"` or `"input"`.
    """

    _shown = ("key", "differs")

    def __init__(
        self, message: object, *, key: str = "", differs: str = "input", **names: Unpack[Names]
    ) -> None:
        super().__init__(message, **names)
        self.key: str = key
        self.differs: str = differs


class LedgerError(FalError):
    """Raised when the ledger can't be read or written: a full disk, a lock of another process, a damaged file.

    It is raised before anything is sent. Once fal has accepted a request, a failing ledger does not end the call:
    the failure is logged.
    """


class BatchStoppedError(FalError):
    """Raised when a batch was stopped by a limit such as `max_failures`.

    All requests that were submitted have ended by then, and their items were yielded before.

    Attributes:
        reason: the limit: `"max_failures"` or `"max_cost"`.
        summary: the `BatchSummary` at that moment.
    """

    _shown = ("reason",)

    def __init__(
        self, message: object, *, reason: str = "max_failures", summary: Any = None, **names: Unpack[Names]
    ) -> None:
        super().__init__(message, **names)
        self.reason = reason
        self.summary = summary


class ClientTimeoutError(FalError, TimeoutError):
    """Raised when the caller's `timeout` has passed.

    If the request was not cancelled, `fal.queue.handle(error.endpoint_id, error.request_id).wait()` takes it up.

    Attributes:
        timeout: the limit in seconds.
        last_status: the last status seen, such as `"IN_QUEUE at position 4"`, or None.
        cancel_outcome: the outcome of cancelling the request; None if no cancel was sent.
    """

    _shown = ("timeout", "last_status", "cancel_outcome")

    def __init__(
        self,
        message: object,
        *,
        timeout: float,
        last_status: str | None = None,
        cancel_outcome: CancelOutcome | None = None,
        **known: Unpack[Known],
    ) -> None:
        super().__init__(message, **known)
        self.timeout = timeout
        self.last_status: str | None = one_word(last_status)
        self.cancel_outcome = cancel_outcome


class ResponseDecodeError(FalError):
    """Raised when a response does not have the documented shape, or does not fit `output_type`.

    Attributes:
        paths: what did not fit, such as `"required field missing @ $.logs[0].message"`.
        body: the response body, which is paid for: decoded JSON if possible, else bytes. It is not part of the
            message.
    """

    _shown = ("paths",)

    def __init__(
        self,
        message: object,
        *,
        paths: Sequence[str] = (),
        body: Any = None,
        **known: Unpack[Known],
    ) -> None:
        super().__init__(message, **known)
        self.paths: list[str] = [one_line(path) for path in paths]
        self.body = body


class StreamError(FalError):
    """Raised when a stream broke, stalled or sent something unreadable after it had begun.

    Attributes:
        reason: `"cut"` (the connection ended too early), `"idle"` (no byte for `idle_timeout` seconds), `"error"`
            (the model sent an error event), `"undecodable"`, `"too_large"`, or `"empty"` (no value was sent).
        received: the newest values received, in order, about one megabyte of them at most.
        count: the number of values received in total.
        detail: the content of an error event, decoded if it is JSON, or None.
    """

    _shown = ("reason", "count")

    def __init__(
        self,
        message: object,
        *,
        reason: str = "cut",
        received: Sequence[Any] = (),
        count: int | None = None,
        detail: Any = None,
        **names: Unpack[Names],
    ) -> None:
        super().__init__(message, **names)
        self.reason = reason
        self.received: list[Any] = list(received)
        self.count: int = len(self.received) if count is None else count
        self.detail = detail


class RealtimeError(FalError):
    """Raised when a realtime connection failed or was closed abnormally.

    Attributes:
        code: the WebSocket close code (1006: the connection broke), or None if an error frame came first.
        reason: the server's own words, or `""`.
        error: the error word of a frame, such as `"INTERNAL_ERROR"`, or None.
        in_flight: messages that were sent and not answered. The model may or may not have received them.
    """

    def __init__(
        self,
        message: object,
        *,
        code: int | None = None,
        reason: str = "",
        error: str | None = None,
        in_flight: Sequence[Any] = (),
        **known: Unpack[Known],
    ) -> None:
        super().__init__(message, **known)
        self.code = code
        self.reason: str = one_line(reason)
        self.error = error
        self.in_flight: list[Any] = list(in_flight)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "code": self.code, "reason": self.reason, "realtime_error": self.error}


class UploadError(FalError):
    """Raised when a file could not be uploaded: it can't be read, or fal did not accept it.

    `__cause__` is the first cause.

    Attributes:
        part: the part of a large file that finally failed, counted from 1, or None.
        causes: the error of each upload route that was tried, in that order.
    """

    _shown = ("part",)

    def __init__(
        self,
        message: object,
        *,
        part: int | None = None,
        causes: Sequence[Exception] = (),
        **known: Unpack[Known],
    ) -> None:
        super().__init__(message, **known)
        self.part = part
        self.causes: tuple[Exception, ...] = tuple(causes)


class DownloadError(FalError):
    """Raised when a file could not be fetched or written, or arrived incomplete. No partial file is left.

    Attributes:
        missing: the files of several that could not be fetched, in order: `OutputFile` values, which
            `storage.download_all` accepts for another try.
        causes: the error of each missing file. It names the place in the output, and the URL without its query.
        paths: for each file the path written, or None if it is missing.
    """

    def __init__(
        self,
        message: object,
        *,
        missing: Sequence[Any] = (),
        causes: Sequence[FalError] = (),
        paths: Sequence[Path | None] = (),
        **known: Unpack[Known],
    ) -> None:
        super().__init__(message, **known)
        self.missing: tuple[Any, ...] = tuple(missing)
        self.causes: tuple[FalError, ...] = tuple(causes)
        self.paths: tuple[Path | None, ...] = tuple(paths)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "causes": [str(cause) for cause in self.causes]}


class WebhookVerificationError(FalError):
    """Raised when a webhook delivery is not from fal, was altered or is too old (protocol 8.3). Reject it."""
