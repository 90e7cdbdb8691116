"""Whether an outcome ends an attempt, and what is then stored about it.

If a running request is recorded as failed, the next call pays for it again. So an error answer counts as an end
only if fal said that the request is complete and the answer certainly comes from the model. Any other error leaves
the entry unchanged, and the next call follows the same request.
"""

from __future__ import annotations

import enum

from fal_async.errors import (
    ApiError,
    CancelOutcome,
    FalError,
    RequestCancelledError,
    RequestFailedError,
    ResultExpiredError,
    StartTimeoutError,
    SubmissionUncertainError,
)
from fal_async.models import Completed
from fal_async.protocol.api_errors import is_gateways_page
from fal_async.protocol.http import REQUEST_ID, HttpResponse
from fal_async.protocol.ledger.entry import End, Outcome, Payload, State
from fal_async.protocol.ledger.kept import billable_units, kept_headers
from fal_async.protocol.ledger.stored_errors import stored_error
from fal_async.protocol.results import CANCELLED_STATUS, CANCELLED_TYPES, is_not_yet

_REFUSED = frozenset({401, 403})
"""These refuse the key and say nothing about the request."""
_FINAL = frozenset({400, 422})
_PASSING = frozenset({408, 425, 429})
KEPT_AT_LEAST = 360.0
"""Seconds for which fal keeps every result after its request ended (protocol 4.4)."""


class Open(enum.Enum):
    """The attempt has not ended, as far as is known."""

    STAYS = "stays"
    """The entry stays "submitted": the next call attaches to the same id."""
    FETCH = "fetch"
    """fal says that the request is over: fetch the result, and call `end_of` again with it."""


def end_of(
    outcome: HttpResponse | FalError | CancelOutcome,
    *,
    completed: Completed | None,
    at: float,
    taken_at: float | None = None,
) -> End | Open:
    """Return the end of an attempt whose id is known, or `Open` if it goes on.

    `ResultExpiredError` is the end "expired": search fal's history first, which may still have the result. If it
    comes before any result can have expired, a part of fal does not know the request yet, and the attempt goes on.

    Args:
        outcome: the raw result (2xx, and checked by `results.check_result`); or the error that following or
            fetching ended with, as returned by `results.result_error`; or the outcome of a cancel.
        completed: the last status, if it was `Completed`; else None.
        at: now, in Unix seconds.
        taken_at: when it became known that fal has the request, in Unix seconds; None: long ago.
    """
    if isinstance(outcome, CancelOutcome):
        return _of_cancel(outcome, at)
    if isinstance(outcome, HttpResponse):
        return done(outcome, at)
    if outcome.from_caller:
        return Open.STAYS
    if isinstance(outcome, RequestCancelledError) or _is_499(outcome, completed):
        return _ended("cancelled", "cancelled", outcome, at)
    if isinstance(outcome, ResultExpiredError):
        if taken_at is not None and at - taken_at < KEPT_AT_LEAST:
            return Open.STAYS
        return _ended("failed", "expired", outcome, at, final=True)
    if isinstance(outcome, RequestFailedError | StartTimeoutError):
        return _ended("failed", "failed", outcome, at)
    if not isinstance(outcome, ApiError) or not _is_models_own(outcome, completed):
        return Open.STAYS
    again = outcome.status >= 500 or outcome.status in _PASSING
    return _ended("failed", "failed", outcome, at, final=not again)


def done(response: HttpResponse, at: float) -> End:
    """Return the end of a request that has a result. It is stored raw, independent of any `output_type`."""
    return End(
        state="done",
        outcome="done",
        at=at,
        payload=Payload(content_type=_text(response.headers.get("content-type", "")), body=response.body),
        headers=kept_headers(response.headers),
        billable_units=billable_units(response.headers),
    )


def _text(header: str) -> str:
    """Return a header that a store can write: header bytes that are not UTF-8 arrive as lone surrogates."""
    return header.encode("utf-8", "replace").decode()


def _of_cancel(outcome: CancelOutcome, at: float) -> End | Open:
    if outcome is CancelOutcome.CANCELLED:
        error = RequestCancelledError("the request was cancelled before it started")
        return _ended("cancelled", "cancelled", error, at)
    over = outcome in (CancelOutcome.ALREADY_COMPLETED, CancelOutcome.NOT_FOUND)
    return Open.FETCH if over else Open.STAYS


def _ended(state: State, outcome: Outcome, error: FalError, at: float, *, final: bool = False) -> End:
    headers = error.headers if isinstance(error, ApiError) else {}
    return End(
        state=state,
        outcome=outcome,
        at=at,
        final=final,
        payload=stored_error(error),
        headers=kept_headers(headers),
        billable_units=billable_units(headers),
    )


def _is_499(error: FalError, completed: Completed | None) -> bool:
    """Whether the result was answered with fal's 499. A 499 to a status says nothing about the request."""
    if not isinstance(error, ApiError) or error.status != CANCELLED_STATUS or completed is None:
        return False
    return error.error_type in CANCELLED_TYPES or REQUEST_ID in error.headers


def _is_models_own(error: ApiError, completed: Completed | None) -> bool:
    """Whether the error says how the request ended, and not how fetching its result failed."""
    if completed is None or error.status < 400 or error.status in _REFUSED:
        return False
    if is_not_yet(error) or is_gateways_page(error.status, error.headers):
        return False
    # Either fal said that it failed, or the body is one that only a model sends (protocol 9.1), or fal itself (by
    # its request id) refused the input: a gateway may refuse the fetch with the same status.
    failed = completed.error is not None or completed.error_type is not None
    return failed or bool(error.errors) or (error.status in _FINAL and REQUEST_ID in error.headers)


class Claim(enum.Enum):
    """What to do with a claim whose submit returned no request id."""

    WITHDRAW = "withdraw"
    UNCERTAIN = "uncertain"


def claim_after(error: BaseException, *, sent: bool) -> Claim:
    """Return what to do with the claim of a submit that raised `error`.

    A FalError says whether fal may have taken the request: any answer to the submit means that it did not. An
    error raised by the caller's own function says nothing. `sent`: whether any of it may have left the process.
    """
    cause: BaseException | None = error
    seen: set[int] = set()  # a chain of causes may be a circle
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, SubmissionUncertainError):
            return Claim.UNCERTAIN
        seen.add(id(cause))
        cause = cause.__cause__
    is_fals = isinstance(error, FalError) and not error.from_caller
    return Claim.UNCERTAIN if sent and not is_fals else Claim.WITHDRAW
