"""What goes wrong with a call beside an error answer of fal's: transport, time, cancellation, content."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

from fal_async.errors.redaction import one_line, one_word
from fal_async.errors.root import CancelOutcome, FalError, Known, Names


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
        key: of a call with a key, what its ledger has it under; else None. `ledger.resolve(key, request_id=...)`
            decides by hand what became of it.
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
    """The request completed with an error, and its result has no body that says more.

    Attributes:
        error_type: fal's machine-readable type (protocol 9.2), or None.
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
    """The request was cancelled on the server (its result answers 499; protocol 4.5)."""


class KeyConflictError(FalError):
    """The key stands for another endpoint or another input in the ledger. Nothing was sent.

    Attributes:
        key: the key.
        differs: what is not the same: `"endpoint_id"` or `"input"`.
    """

    _shown = ("key", "differs")

    def __init__(
        self, message: object, *, key: str = "", differs: str = "input", **names: Unpack[Names]
    ) -> None:
        super().__init__(message, **names)
        self.key: str = key
        self.differs: str = differs


class LedgerError(FalError):
    """The ledger can't be read or written: a full disk, a lock that another process holds, a broken file.

    Raised before anything is sent. Once fal has taken a request, a failing ledger ends no call: it is logged.
    """


class BatchStoppedError(FalError):
    """A batch was stopped by a limit of its own. What had been submitted has ended, and was given before.

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
    """The caller's `timeout` elapsed.

    Attributes:
        timeout: the limit, in seconds.
        last_status: the last status seen, such as `"IN_QUEUE at position 4"`, or None.
        cancel_outcome: what the cancel of the request came to; None where none was sent.
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
    """An answer does not have the promised shape.

    Attributes:
        paths: what did not fit, such as `"required field missing @ $.logs[0].message"`.
        body: the answer as it came, which is paid for: decoded JSON where it is that, else bytes. Not in the
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
    """A stream broke, stalled or carried something unreadable after it had begun.

    Attributes:
        reason: "cut" (it ended before its end), "idle" (nothing came for `idle_timeout`), "error" (the model
            sent an error event), "undecodable", "too_large", or "empty" (it ended without any value).
        received: the newest values that had come, in order: at most about a megabyte of them.
        count: how many values had come in all.
        detail: what an error event carried, decoded where it is JSON.
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
    """A file could not be uploaded: it can't be read, or fal did not take it. `__cause__` is the first cause.

    Attributes:
        part: the part of a large file that failed for good, counted from 1, or None.
        causes: what went wrong on each route that was tried, in that order.
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
    """A file could not be written, or what arrived is not what was announced. No part of it is left.

    Attributes:
        missing: of several files, those that could not be fetched, in order: `OutputFile` values, which
            `storage.download_all` takes.
        causes: for each of them, why. Each names the place in the output, and the URL without its query.
        paths: for each of all files the path written, or None where it is missing.
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
    """A webhook delivery is not from fal, or was altered, or is too old."""
