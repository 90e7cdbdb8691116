"""Error answers: what fal, or a gateway before it, says is wrong (protocol 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import attrs

from fal_async.errors.redaction import one_line, one_word, safe_repr
from fal_async.errors.root import FalError, Known


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
    """404: no such endpoint, path or request. No reason to submit again: an id that is mistyped gives it, too."""


class ResultExpiredError(NotFoundError):
    """404 for a request that surely existed: fal keeps results for 1 h, 6 min from 10 KB on (protocol 4.4)."""


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
