"""Values that come over the wire, frozen. Unknown fields are kept in `raw`; only the id is required."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from fal_async.errors import one_line, safe_repr

if TYPE_CHECKING:
    # Type checkers have the newer form at any version: without `output_type` data is Any.
    import typing_extensions

    T = typing_extensions.TypeVar("T", default=Any)
    T_co = typing_extensions.TypeVar("T_co", covariant=True, default=Any)
else:
    T = TypeVar("T")
    T_co = TypeVar("T_co", covariant=True)


@attrs.frozen(kw_only=True)
class RequestLog:
    """One log line of a request (protocol 4.2). `timestamp` is the server's ISO text; `level` is free text."""

    message: str
    timestamp: str = ""
    level: str = ""
    source: str = ""


@attrs.frozen(kw_only=True)
class _Status:
    request_id: str
    logs: tuple[RequestLog, ...] = attrs.field(default=(), repr=False)
    """What the server sent this time: a moving window."""
    new_logs: tuple[RequestLog, ...] = attrs.field(default=(), repr=lambda logs: f"<{len(logs)}>")
    """The entries that no earlier update of the same generator held."""
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    """The whole answer as it came."""

    @property
    def headline(self) -> str:
        """Where the request stands, in a few words and without its logs."""
        return "unknown"

    def __str__(self) -> str:
        """The headline, and the newest of the log lines that came with it."""
        return f"{self.headline}: {self.new_logs[-1].message}" if self.new_logs else self.headline


@attrs.frozen(kw_only=True)
class Queued(_Status):
    """IN_QUEUE. `position` counts the requests ahead, from 0; None where the server did not say."""

    position: int | None = None

    @property
    def headline(self) -> str:
        return "IN_QUEUE" if self.position is None else f"IN_QUEUE at position {self.position}"


@attrs.frozen(kw_only=True)
class InProgress(_Status):
    """IN_PROGRESS. May fall back to `Queued` when the platform retries (protocol 4.2)."""

    @property
    def headline(self) -> str:
        return "IN_PROGRESS"


@attrs.frozen(kw_only=True)
class Completed(_Status):
    """COMPLETED: finished, well or badly: fal has no failed or cancelled status (protocol 4.2).

    `error` and `error_type` are set only where it failed. `metrics` may hold `inference_time` in seconds.
    """

    metrics: Mapping[str, Any] = attrs.field(factory=dict)
    error: str | None = attrs.field(default=None, repr=safe_repr)
    error_type: str | None = attrs.field(default=None, repr=safe_repr)

    @property
    def headline(self) -> str:
        return "COMPLETED" if self.error is None and self.error_type is None else "COMPLETED with an error"


@attrs.frozen(kw_only=True)
class UnknownStatus(_Status):
    """A status word that this version does not know; the request is not complete."""

    status: str = attrs.field(default="", repr=safe_repr)

    @property
    def headline(self) -> str:
        return one_line(self.status) or "unknown"


QueueStatus = Queued | InProgress | Completed | UnknownStatus
"""Where a request stands. Tell the kinds apart with `match` or `isinstance`."""


@attrs.frozen(kw_only=True)
class Submission:
    """fal's answer to a submit (protocol 4.1). The URLs are None where the answer lacks them."""

    request_id: str
    response_url: str | None = attrs.field(default=None, repr=safe_repr)
    status_url: str | None = attrs.field(default=None, repr=safe_repr)
    cancel_url: str | None = attrs.field(default=None, repr=safe_repr)
    position: int | None = None
    gateway_request_id: str | None = None
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


class CancelOutcome(enum.StrEnum):
    """What a cancel came to (protocol 4.5)."""

    CANCELLED = "CANCELLED"
    """Removed from the queue before it started."""
    CANCELLATION_REQUESTED = "CANCELLATION_REQUESTED"
    """The runner was told; it may still complete (and be billed)."""
    ALREADY_COMPLETED = "ALREADY_COMPLETED"
    """Too late: the result is there."""
    NOT_FOUND = "NOT_FOUND"
    """fal does not know the request (any more)."""


@attrs.frozen(kw_only=True)
class Result(Generic[T_co]):
    """The outcome of a request.

    Attributes:
        data: decoded JSON, or an `output_type` built from it; text or bytes where the model answers so.
        request_id: fal's id, None where a direct call's answer did not carry one.
        attempts: HTTP requests it took, by kind: `{"submit": 1, "status": 4, "result": 1}`.
        status: the final `Completed`; None for a direct call.
        headers: of the answer that carried `data`, names in lower case.
    """

    data: T_co = attrs.field(repr=False)
    request_id: str | None = None
    attempts: Mapping[str, int] = attrs.field(factory=dict)
    status: Completed | None = None
    logs: tuple[RequestLog, ...] = attrs.field(default=(), repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The final status's metrics, such as `inference_time` (seconds); empty for a direct call."""
        return self.status.metrics if self.status else {}

    @property
    def billable_units(self) -> float | None:
        """Units billed (`x-fal-billable-units`, protocol 3.2), or None where the answer does not say."""
        try:
            units = float(self.headers["x-fal-billable-units"])
        except (KeyError, ValueError):
            return None
        return units if math.isfinite(units) else None
