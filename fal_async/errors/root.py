"""The root of all errors of this package, and the two that any call can raise before it sends a request.

Citations such as (protocol 4.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import copy
import enum
from typing import Any, ClassVar, Self, TypedDict, Unpack

import attrs

from fal_async.errors.redaction import MAX_LINE, one_line


@attrs.frozen(kw_only=True)
class RequestRef:
    """The request that an error or an HTTP request is about. `request_id` is fal's id, None before the submit."""

    endpoint_id: str | None = None
    request_id: str | None = None


NO_REF = RequestRef()


class CancelOutcome(enum.StrEnum):
    """The outcome of cancelling a request (protocol 4.5)."""

    CANCELLED = "CANCELLED"
    """The request was removed from the queue before it started."""
    CANCELLATION_REQUESTED = "CANCELLATION_REQUESTED"
    """The runner was notified; the request may still complete, and be billed."""
    ALREADY_COMPLETED = "ALREADY_COMPLETED"
    """The request was completed before the cancel arrived, and its result can be fetched."""
    NOT_FOUND = "NOT_FOUND"
    """fal does not know the request, or no longer does."""
    REFUSED = "REFUSED"
    """fal refused the cancel without a reason that a program can read: the request is running, or complete."""
    FAILED = "FAILED"
    """The cancel failed: the request may still run and be billed. Only `error.cancel_outcome` has this value."""


class Names(TypedDict, total=False):
    """The keyword arguments of every error: fal's id of the request, and the endpoint. None: not known."""

    request_id: str | None
    endpoint_id: str | None


class Known(Names, total=False):
    """The keyword arguments of errors that may be retryable or not: `retryable=None` means the class's default."""

    retryable: bool | None


class FalError(Exception):
    """The root of all errors of this package.

    Errors survive pickle, `copy.copy` and `copy.deepcopy`. Every class can be created with a message and the
    keyword arguments `request_id` and `endpoint_id`. Other keyword arguments have the names of attributes.

    Attributes:
        message: what went wrong, in one line that is safe to show and to log.
        request_id: fal's id of the request, or None if there is none or it is not known.
        endpoint_id: the endpoint, or None if it is not known.
        retryable: whether repeating the same call may succeed and can't be billed twice. It is False for a
            `subscribe` whose request fal has accepted and may complete: continue with that request by
            `fal.queue.handle(endpoint_id, request_id).wait()`.
        from_caller: whether a function of the caller, such as a callback, raised the error, and not fal.
        key: the key of the call (`key=`), or None. Repeating the call with this key uses the same request, and is
            not billed again.
    """

    retryable: bool = False
    from_caller: bool = False
    key: str | None = None
    _shown: ClassVar[tuple[str, ...]] = ()
    """Further attributes of the class that `to_dict` includes unchanged."""

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
        """Return the error as JSON-compatible values, for logs and HTTP responses.

        They contain no inputs, bodies or secrets.
        """
        return {
            "error": type(self).__name__,
            "message": self._headline(),
            "request_id": self.request_id,
            "endpoint_id": self.endpoint_id,
            "retryable": self.retryable,
            **{name: getattr(self, name) for name in self._shown},
        }

    def about(self, ref: RequestRef) -> Self:
        """Set `request_id` and `endpoint_id` if they are None, and return the error."""
        self.request_id = self.request_id or ref.request_id
        self.endpoint_id = self.endpoint_id or ref.endpoint_id
        return self

    def at(self, place: str) -> Self:
        """Return a copy whose message begins with `place`, such as `$.images[0]`: a place in an input or output."""
        placed = copy.copy(self)  # several waiters may have been given the same error object
        placed.message = one_line(f"{place}: {self.message}")
        placed.args = (placed.message,)
        placed.__cause__ = self.__cause__
        return placed.with_traceback(self.__traceback__)

    def __reduce__(self) -> tuple[Any, ...]:
        # By default, unpickling calls the class with `args`, in which keyword-only arguments are missing.
        return _rebuild, (type(self), self.args), self.__dict__


class naming:  # a class, not a generator, for speed: every result passes through it
    """A context manager that calls `about(ref)` on every FalError that leaves the block."""

    __slots__ = ("_ref",)

    def __init__(self, ref: RequestRef) -> None:
        self._ref = ref

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FalError):
            error.about(self._ref)


def _rebuild(kind: type[FalError], args: tuple[Any, ...]) -> FalError:
    error = kind.__new__(kind, *args)
    error.args = args  # for TimeoutError, a subclass of OSError, `__new__` does not set them
    return error


class ConfigurationError(FalError, ValueError):
    """Raised for a missing or malformed key, endpoint id, option or input, before any request is sent.

    The message names the value and says what was expected.
    """


class SessionStateError(FalError, RuntimeError):
    """Raised when the session is closed, or belongs to another event loop.

    Use one session in each event loop, and close it after the last call.

    Attributes:
        cancel_outcome: the outcome of cancelling the request, if closing the session ended the call. None if no
            cancel was sent.
    """

    _shown = ("cancel_outcome",)

    def __init__(
        self, message: object, *, cancel_outcome: CancelOutcome | None = None, **names: Unpack[Names]
    ) -> None:
        super().__init__(message, **names)
        self.cancel_outcome = cancel_outcome
