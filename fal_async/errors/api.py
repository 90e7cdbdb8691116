"""Error responses of fal, or of a gateway in front of it (protocol 9).

Citations such as (protocol 4.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import attrs

from fal_async.errors.redaction import one_line, one_word, safe_repr
from fal_async.errors.root import FalError, Known


@attrs.frozen(kw_only=True)
class ErrorDetail:
    """One entry of a model error (protocol 9.1).

    Attributes:
        msg: the explanation for people; fal may reword it.
        type: the type, which programs can rely on, such as `"content_policy_violation"`; or `""`.
        loc: the path of the offending value, such as `("body", "prompt")`; may be empty.
        ctx: details that depend on the type, or None.
        url: a link to fal's documentation, or None.
        input: the offending value as the server returned it. It is never printed, because it may be a whole image.
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


class ApiError(FalError):
    """Raised when fal, or a gateway in front of it, responded with an error status.

    Attributes:
        status: the HTTP status.
        error_type: fal's machine-readable type (protocol 9.1, 9.2), from the body or `X-Fal-Error-Type`, or None.
        errors: the entries of a model error, or an empty list.
        headers: the headers of the response, names in lower case.
        body: the body of the response: decoded JSON, or a `str`. It may contain the input, and is never part of the
            message.
        retry_after: seconds that the server asked to wait, or None.
        retryable: whether repeating the call may succeed: what fal said in `X-Fal-Needs-Retry` or
            `X-Fal-Retryable`, else what the status implies.
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
        **known: Unpack[Known],
    ) -> None:
        super().__init__(message, **known)
        self.status = status
        self.error_type: str | None = one_word(error_type)
        self.errors: list[ErrorDetail] = list(errors)
        self.headers: dict[str, str] = dict(headers or {})
        self.body = body
        self.retry_after = retry_after

    def _headline(self) -> str:
        return f"{self.status} {self.message}"

    def to_dict(self) -> dict[str, Any]:
        """Return the same as `FalError.to_dict`, with `status`, `error_type`, `errors` and `retry_after`."""
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
    """Raised for 401: the key is missing, unknown or revoked. Keys are at https://fal.ai/dashboard/keys."""


class PermissionDeniedError(ApiError):
    """Raised for 403: fal knows the key, but the key has no permission for this operation."""


class BalanceExhaustedError(PermissionDeniedError):
    """Raised for 403: the account's balance is exhausted, so the account is locked.

    Top it up at https://fal.ai/dashboard/billing.
    """


class NotFoundError(ApiError):
    """Raised for 404: the endpoint, path or request does not exist.

    Check the endpoint id and the request id before you submit again: the request may exist under another id.
    """


class ResultExpiredError(NotFoundError):
    """Raised for 404 if the request is known to have existed: fal no longer keeps its result.

    fal keeps results for 1 hour, or 6 minutes if they are 10 KB or larger (protocol 4.4).
    """


class ValidationError(ApiError):
    """Raised for 422: the model refuses the input. `errors` has the place and the reason of each problem."""

    def field_errors(self, field: str) -> list[ErrorDetail]:
        """Return the entries about one field of the input.

        Args:
            field: the name of a top-level field, such as `"prompt"`. A leading `body` in an entry's path is
                ignored.

        Returns:
            The matching entries of `errors`; empty if there are none.
        """
        return [d for d in self.errors if field in (d.loc[1:2] if d.loc[:1] == ("body",) else d.loc[:1])]


class ContentPolicyError(ValidationError):
    """Raised for 422 `content_policy_violation`: the input or the output was flagged."""


class RateLimitError(ApiError):
    """Raised for 429: too many requests at once (protocol 9.4).

    fal refused the request before it started, so sending it again is safe.
    """

    retryable = True


class StartTimeoutError(ApiError):
    """Raised for 504: no runner started within the caller's `start_timeout` (protocol 4.6). Nothing ran."""


class ServerError(ApiError):
    """Raised for a 5xx status of fal, of the model, or of a gateway in front of them."""
