"""The root of all errors of this package, and the two that any call can raise before a request is made."""

from __future__ import annotations

import copy
import enum
from typing import Any, ClassVar, Self, TypedDict, Unpack

import attrs

from fal_async.errors.redaction import MAX_LINE, one_line


@attrs.frozen(kw_only=True)
class RequestRef:
    """Which request something is about, as far as that is known: `request_id` is fal's, None before the submit."""

    endpoint_id: str | None = None
    request_id: str | None = None


NO_REF = RequestRef()


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
    FAILED = "FAILED"
    """It did not go through: the request may still run (and be billed). Only an error's `cancel_outcome` is it."""


class Names(TypedDict, total=False):
    """Which request an error belongs to: what every kind of error takes."""

    request_id: str | None
    endpoint_id: str | None


class Known(Names, total=False):
    """The same, and `retryable` for the kinds that do not settle it themselves."""

    retryable: bool | None


class FalError(Exception):
    """Root of all errors of this package.

    Attributes:
        message: what went wrong, one line, safe to show and to log.
        request_id: fal's id of the request, where it is known.
        endpoint_id: the endpoint, where it is known.
        retryable: whether the same call may be made again, with hope and without paying twice. Of `subscribe` never
            for a request that fal has and may complete: take that one up, `fal.queue.handle(...).wait()`.
        from_caller: whether a function of yours raised it, such as a callback: then it is no answer of fal's.
        key: of the call, where it had one: the same call with it is the same request, and no second bill.
    """

    retryable: bool = False
    from_caller: bool = False
    key: str | None = None
    _shown: ClassVar[tuple[str, ...]] = ()
    """Attributes of the kind that `to_dict` gives as they are."""

    def __init__(
        self,
        message: object,
        *,
        request_id: str | None = None,
        endpoint_id: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        self.message: str = one_line(message)
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
            **{name: getattr(self, name) for name in self._shown},
        }

    def about(self, ref: RequestRef) -> Self:
        """Fill in which request the error belongs to, where it does not say so yet, and return the error."""
        self.request_id = self.request_id or ref.request_id
        self.endpoint_id = self.endpoint_id or ref.endpoint_id
        return self

    def at(self, place: str) -> Self:
        """A copy that says where in an input or output the trouble is, in front of the message."""
        placed = copy.copy(self)  # several that wait for one thing may have been given one and the same error
        placed.message = one_line(f"{place}: {self.message}")
        placed.args = (placed.message,)
        placed.__cause__ = self.__cause__
        return placed.with_traceback(self.__traceback__)

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions pickle by calling the class with `args`, which keyword-only arguments can't survive.
        return _rebuild, (type(self), self.args), self.__dict__


class naming:  # as `contextlib.suppress`; no generator: it is on the path of each result
    """Every FalError that leaves the block is `about(ref)`."""

    __slots__ = ("_ref",)

    def __init__(self, ref: RequestRef) -> None:
        self._ref = ref

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FalError):
            error.about(self._ref)


def _rebuild(kind: type[FalError], args: tuple[Any, ...]) -> FalError:
    error = kind.__new__(kind, *args)
    error.args = args  # OSError (behind TimeoutError) leaves this to __init__
    return error


class ConfigurationError(FalError, ValueError):
    """A missing or malformed key, endpoint id, option or input, found before any request was sent."""


class SessionStateError(FalError, RuntimeError):
    """The session is closed, or belongs to another event loop.

    Attributes:
        cancel_outcome: what the cancel of the request came to, where closing the session ended the wait for it.
            None where none was sent.
    """

    _shown = ("cancel_outcome",)

    def __init__(
        self, message: object, *, cancel_outcome: CancelOutcome | None = None, **names: Unpack[Names]
    ) -> None:
        super().__init__(message, **names)
        self.cancel_outcome = cancel_outcome
