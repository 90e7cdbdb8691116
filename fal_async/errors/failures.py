"""Errors that are not error responses of fal: connections, time limits, cancellation, unusable content, ledger.

Citations such as (protocol 4.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

from fal_async.errors.redaction import one_line, one_word
from fal_async.errors.root import CancelOutcome, FalError, Known, Names


class TransportError(FalError):
    """Raised when there is no usable HTTP response: the connection failed or broke. `__cause__` is aiohttp's error.

    If fal may have accepted a paid request, SubmissionUncertainError is raised instead. If `subscribe` raises it
    after fal accepted the request, `error.request_id` is set and `error.retryable` is False: don't submit again,
    but continue with `fal.queue.handle(error.endpoint_id, error.request_id).wait()`.
    """

    retryable = True


class TransportTimeoutError(TransportError, TimeoutError):
    """Raised when one HTTP request exceeded its time limit. Set longer limits with `Timeouts`."""


class SubmissionUncertainError(FalError):
    """Raised when a paid request (submit, run or stream) failed after fal may have accepted it.

    It is never sent again automatically: fal has no idempotency key (protocol 12), so a second request may be
    billed as well. `fal.queue.find_submission(error)` looks for the request in fal's history. The same error is
    raised if fal may have created an API key or a workflow; the message says where to look for it.

    Attributes:
        operation: `"submit"`, `"run"`, `"stream"`, or `"create"` for an API key or a workflow.
        started_at: when the attempt began, in Unix seconds of this machine's clock, or None.
        ended_at: when the attempt failed, in Unix seconds of this machine's clock, or None.
        input_digest: SHA-256 (hex) of the canonical JSON input, by which `find_submission` recognises the request;
            or None.
        key: the key of the call in its ledger, or None. If you find the request yourself, record it by
            `ledger.resolve(key, request_id=...)`.
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
    """Raised when fal reports that a request failed, and the model sent no error body that explains why.

    The message is the error in the request's status.

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
    """Raised when the request was cancelled on fal: the response to its result URL is a 499 (protocol 4.5)."""


class KeyConflictError(FalError):
    """Raised when the ledger has the key with another endpoint or another input. Nothing was sent.

    Use another key for another request, or repeat the call with the original input.

    Attributes:
        key: the key of the call.
        differs: which of the two is different: `"endpoint_id"` or `"input"`.
    """

    _shown = ("key", "differs")

    def __init__(
        self, message: object, *, key: str = "", differs: str = "input", **names: Unpack[Names]
    ) -> None:
        super().__init__(message, **names)
        self.key: str = key
        self.differs: str = differs


class LedgerError(FalError):
    """Raised when the ledger can't be read or written: a full disk, a damaged file, a server that is down.

    A keyed call raises it only before anything is sent. If the ledger fails after fal has accepted the request, the
    call continues and the failure is logged.
    """


class BatchStoppedError(FalError):
    """Raised when more items of a batch failed than `max_failures` allows, or when `max_cost` is used up.

    All submitted requests are completed before it is raised, and their items were yielded.

    Attributes:
        reason: the argument that set the limit: `"max_failures"` or `"max_cost"`.
        summary: the `BatchSummary` of the moment when the batch was stopped.
    """

    _shown = ("reason",)

    def __init__(
        self, message: object, *, reason: str = "max_failures", summary: Any = None, **names: Unpack[Names]
    ) -> None:
        super().__init__(message, **names)
        self.reason = reason
        self.summary = summary


class ClientTimeoutError(FalError, TimeoutError):
    """Raised when a call did not finish within its argument `timeout`.

    If the request was not cancelled on fal, you can continue with
    `fal.queue.handle(error.endpoint_id, error.request_id).wait()`.

    Attributes:
        timeout: the time limit in seconds.
        last_status: the last status of the request that was received, such as `"IN_QUEUE at position 4"`; None if
            there was none.
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
        paths: what did not fit, such as `"required field missing @ $.logs[0].message"`; may be empty.
        body: the response body, so that a paid result is not lost: decoded JSON if possible, else bytes. It is not
            part of the message.
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
    """Raised when a stream broke, stalled or sent an undecodable event after it had begun.

    Attributes:
        reason: `"cut"` (the connection ended too early), `"idle"` (no byte for `idle_timeout` seconds), `"error"`
            (the model sent an error event), `"undecodable"`, `"too_large"`, or `"empty"` (no value was sent).
        received: the last values that arrived, oldest first; about one megabyte at most.
        count: the number of values that arrived in total.
        detail: the content of an error event, decoded if it is JSON; for the failed step of a workflow a
            `WorkflowFailure`, with `node_id`, `status` and `body`. Otherwise None.
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
        code: the WebSocket close code (1006: the connection broke), or None if there was none, as after an error
            frame.
        reason: the explanation that the server sent, or `""`.
        error: the code in the server's error frame, such as `"INTERNAL_ERROR"`; `"UNDECODABLE"` if a frame can't be
            decoded; else None. `to_dict()` has it as `realtime_error`, because its `error` is the class's name.
        in_flight: messages that were sent and have no response. The model may or may not have received them.
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
        """Return the same as `FalError.to_dict`, with `code`, `reason` and `realtime_error`."""
        return {**super().to_dict(), "code": self.code, "reason": self.reason, "realtime_error": self.error}


class UploadError(FalError):
    """Raised when a file could not be uploaded: it can't be read, or fal did not accept it.

    `__cause__` is the first error of `causes`.

    Attributes:
        part: the part of a large file whose upload failed, counted from 1, or None.
        causes: the errors that led to it. If both upload routes failed: first the error of the upload to fal's CDN,
            then that of the upload to a presigned URL.
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
        missing: the files that could not be fetched, in the order of the output: `OutputFile` values, which
            `storage.download_all` accepts for another attempt. Empty if only one file was to be downloaded.
        causes: the error of each missing file, which names the file's place in the output, and its URL without the
            query.
        paths: for each file of the output the path of the written file, or None if it is missing.
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
        """Return the same as `FalError.to_dict`, with the messages of `causes`."""
        return {**super().to_dict(), "causes": [str(cause) for cause in self.causes]}


class WebhookVerificationError(FalError):
    """Raised when a webhook delivery is not from fal, was altered or is too old (protocol 8.3). Reject it."""
