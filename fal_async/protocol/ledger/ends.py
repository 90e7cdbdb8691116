"""What an end is: from what following a request came to, to what is stored of it, or that it goes on.

A request that is taken for failed is paid for a second time by the next call. So an error answer is an end only
where fal said that the request is complete, and the answer is surely the model's own: everything else leaves it as
it is, and the next call follows the same request.
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
"""The key, not the request."""
_FINAL = frozenset({400, 422})
_PASSING = frozenset({408, 425, 429})
KEPT_AT_LEAST = 360.0
"""Seconds after its end for which fal keeps every result (protocol 4.4)."""


class Open(enum.Enum):
    """It has not ended, as far as is known."""

    STAYS = "stays"
    """The entry stays "submitted": the next call attaches to the same id."""
    FETCH = "fetch"
    """fal says that it is over: fetch the result, and ask again with that."""


def end_of(
    outcome: HttpResponse | FalError | CancelOutcome,
    *,
    completed: Completed | None,
    at: float,
    taken_at: float | None = None,
) -> End | Open:
    """What becomes of an attempt whose id is known.

    Args:
        outcome: the result as it came (2xx, and checked by `results.check_result`); or the error that following or
            fetching ended with, as `results.result_error` has it; or what a cancel was answered.
        completed: the last status, if it was that one.
        at: now, Unix seconds.
        taken_at: when it was known that fal has it; None: long ago.

    `ResultExpiredError` is the end "expired": look into fal's history first, which may have the result still. One
    that comes before any result can be gone is of a part of fal that does not know the request yet.
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
    """The end of a request that has a result: raw, whatever `output_type` would make of it."""
    return End(
        state="done",
        outcome="done",
        at=at,
        payload=Payload(content_type=_text(response.headers.get("content-type", "")), body=response.body),
        headers=kept_headers(response.headers),
        billable_units=billable_units(response.headers),
    )


def _text(header: str) -> str:
    """What a store can write: bytes of a header that are no UTF-8 come as lone surrogates."""
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
    """Of the result: of a status, it says nothing about the request."""
    if not isinstance(error, ApiError) or error.status != CANCELLED_STATUS or completed is None:
        return False
    return error.error_type in CANCELLED_TYPES or REQUEST_ID in error.headers


def _is_models_own(error: ApiError, completed: Completed | None) -> bool:
    """Whether it says how the request ended, and not how asking for it went."""
    if completed is None or error.status < 400 or error.status in _REFUSED:
        return False
    if is_not_yet(error) or is_gateways_page(error.status, error.headers):
        return False
    # fal said that it failed; or else a body that only a model gives (protocol 9.1), or a refused input: by fal,
    # for what is in front of it may refuse a fetch in the same words.
    failed = completed.error is not None or completed.error_type is not None
    return failed or bool(error.errors) or (error.status in _FINAL and REQUEST_ID in error.headers)


class Claim(enum.Enum):
    """What becomes of a claim whose submit gave no id."""

    WITHDRAW = "withdraw"
    UNCERTAIN = "uncertain"


def claim_after(error: BaseException, *, sent: bool) -> Claim:
    """What a submit that ended with `error` leaves. `sent`: whether anything of it may have left the process.

    An error of ours says itself whether fal may have taken it: any answer to the submit means that it did not. One
    that a function of the caller's raised says nothing.
    """
    cause: BaseException | None = error
    seen: set[int] = set()  # causes may lead back to themselves
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, SubmissionUncertainError):
            return Claim.UNCERTAIN
        seen.add(id(cause))
        cause = cause.__cause__
    is_fals = isinstance(error, FalError) and not error.from_caller
    return Claim.UNCERTAIN if sent and not is_fals else Claim.WITHDRAW
