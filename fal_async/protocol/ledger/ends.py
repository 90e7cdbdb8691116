"""Decide whether a response, an error or a cancellation is the outcome of an attempt, and what is stored about it.

If a running request were stored as failed, the next call would submit again and be billed twice. So an error
response counts as the outcome only if fal has said that the request is complete, and the error certainly comes from
the model. After any other error the entry is unchanged, and the next call follows the same request. A claim is the
ledger's note, written before a submit is sent, that a process is about to send it.
"""

from __future__ import annotations

import enum
from decimal import Decimal

import attrs

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
from fal_async.protocol.amounts import billable_units
from fal_async.protocol.api_errors import is_gateways_page
from fal_async.protocol.http import REQUEST_ID, HttpResponse
from fal_async.protocol.ledger.entry import End, Outcome, Payload, State
from fal_async.protocol.ledger.kept import kept_headers
from fal_async.protocol.ledger.stored_errors import stored_error
from fal_async.protocol.results import CANCELLED_STATUS, CANCELLED_TYPES, is_not_yet

_REFUSED = frozenset({401, 403})
"""Statuses that refuse the API key, and say nothing about the request."""
_FINAL = frozenset({400, 422})
"""Statuses with which fal itself refuses an input."""
_TEMPORARY = frozenset({408, 425, 429})
"""Statuses below 500 of a model's error after which a further attempt may succeed."""
_NOTHING = Decimal(0)
KEPT_AT_LEAST = 360.0
"""Seconds for which fal keeps each result after the request is complete (protocol 4.4)."""


class Open(enum.Enum):
    """The attempt has no outcome yet, as far as is known."""

    STAYS = "stays"
    """The entry stays "submitted": the next call follows the same request."""
    FETCH = "fetch"
    """The request is complete, or fal does not know it: fetch the result, and call `end_of` with the response."""


def end_of(
    outcome: HttpResponse | FalError | CancelOutcome,
    *,
    completed: Completed | None,
    at: float,
    taken_at: float | None = None,
    is_delivered: bool = False,
) -> End | Open:
    """Return the outcome of an attempt whose request id is known, or `Open` if it has none yet.

    `ResultExpiredError` is stored as the outcome "expired"; before that, the caller searches fal's history, which
    may still have the result. If no result can have expired so early, the error only means that a part of fal does
    not know the request yet: the attempt stays open.

    Args:
        outcome: the result (a response with status 2xx that `results.check_result` has accepted); or the error of
            following or fetching, as returned by `results.result_error`; or the outcome of a cancellation.
        completed: the last status if it was `Completed`, otherwise None.
        at: the current time, in Unix seconds.
        taken_at: when it became known that fal has accepted the request, in Unix seconds; None (the default): long
            ago.
        is_delivered: whether the error is from a webhook delivery, whose signature proves that it is the outcome;
            default False.
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
    if not isinstance(outcome, ApiError) or not (is_delivered or _is_models_own(outcome, completed)):
        return Open.STAYS
    again = outcome.status >= 500 or outcome.status in _TEMPORARY
    return _ended("failed", "failed", outcome, at, final=not again)


def done(response: HttpResponse, at: float) -> End:
    """Return the outcome of a request with a result: the body as fal sent it, independent of any `output_type`."""
    return End(
        state="done",
        outcome="done",
        at=at,
        payload=Payload(content_type=_text(response.headers.get("content-type", "")), body=response.body),
        headers=kept_headers(response.headers),
        billable_units=billable_units(response.headers),
    )


def _text(header: str) -> str:
    """Return a header that a store can write: lone surrogates, which stand for bytes not in UTF-8, are replaced."""
    return header.encode("utf-8", "replace").decode()


def _of_cancel(outcome: CancelOutcome, at: float) -> End | Open:
    if outcome is CancelOutcome.CANCELLED:
        error = RequestCancelledError("the request was cancelled before it started")
        return attrs.evolve(_ended("cancelled", "cancelled", error, at), cost=_NOTHING)
    over = outcome in (CancelOutcome.ALREADY_COMPLETED, CancelOutcome.NOT_FOUND)
    return Open.FETCH if over else Open.STAYS


def _ended(state: State, outcome: Outcome, error: FalError, at: float, *, final: bool = False) -> End:
    headers = error.headers if isinstance(error, ApiError) else {}
    units = billable_units(headers)
    return End(
        state=state,
        outcome=outcome,
        at=at,
        final=final,
        payload=stored_error(error),
        headers=kept_headers(headers),
        billable_units=units,
        cost=_NOTHING if units is None and _is_free(error) else None,
    )


def _is_free(error: FalError) -> bool:
    """Whether fal does not bill a request that failed in this way: with a 5xx (protocol 12)."""
    response = error if isinstance(error, ApiError) else error.__cause__
    if not isinstance(response, ApiError) or response.status < 500:
        return False
    # A gateway's page only says that the result could not be fetched.
    return response is error or not is_gateways_page(response.status, response.headers)


def _is_499(error: FalError, completed: Completed | None) -> bool:
    """Whether fal responded with 499 to the fetch of the result. In response to a status poll, 499 says nothing."""
    if not isinstance(error, ApiError) or error.status != CANCELLED_STATUS or completed is None:
        return False
    return error.error_type in CANCELLED_TYPES or REQUEST_ID in error.headers


def _is_models_own(error: ApiError, completed: Completed | None) -> bool:
    """Whether the error is the outcome of the request, and not only a failure to fetch its result."""
    if completed is None or error.status < 400 or error.status in _REFUSED:
        return False
    if is_not_yet(error) or is_gateways_page(error.status, error.headers):
        return False
    # Either fal said that the request failed; or the body is one that only a model sends (protocol 9.1); or fal
    # itself has refused the input, which its request id shows (a gateway may refuse the fetch with this status,
    # too).
    failed = completed.error is not None or completed.error_type is not None
    return failed or bool(error.errors) or (error.status in _FINAL and REQUEST_ID in error.headers)


class Claim(enum.Enum):
    """What happens to a claim if its submit has returned no request id."""

    WITHDRAW = "withdraw"
    """fal did not accept the request, so the attempt is deleted."""
    UNCERTAIN = "uncertain"
    """fal may have accepted the request: it is never sent again automatically."""


def claim_after(error: BaseException, *, sent: bool) -> Claim:
    """Return what to do with the claim of a submit that raised `error`.

    A SubmissionUncertainError, also as a cause, means that fal may have accepted the request. Any other FalError
    means that it did not, such as an error response to the submit. A cancellation, or an error of the caller's own
    function, says nothing: then `sent` decides, which is True if any byte of the request may have left the process.
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
