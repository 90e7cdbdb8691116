"""Which responses and errors are the outcome of an attempt, and what becomes of a claim after each error."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from fal_async import errors
from fal_async.errors import (
    ApiError,
    AuthenticationError,
    BalanceExhaustedError,
    CancelOutcome,
    ClientTimeoutError,
    ConfigurationError,
    ContentPolicyError,
    ErrorDetail,
    FalError,
    LedgerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestCancelledError,
    RequestFailedError,
    ResponseDecodeError,
    ResultExpiredError,
    ServerError,
    SessionStateError,
    StartTimeoutError,
    StreamError,
    SubmissionUncertainError,
    TransportError,
    TransportTimeoutError,
    UploadError,
    ValidationError,
)
from fal_async.models import Completed
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.ledger.ends import Claim, Open, claim_after, end_of
from fal_async.protocol.ledger.entry import End, Payload
from fal_async.protocol.ledger.stored_errors import parse_error

WELL = Completed(request_id="id-1")
BADLY = Completed(request_id="id-1", error="it failed")
TYPED = Completed(request_id="id-1", error_type="internal_server_error")
OF_FAL = {"x-fal-request-id": "id-1", "content-type": "application/json"}
DETAIL = [ErrorDetail(msg="broken", type="internal_server_error", loc=("body",))]
HTML = {"content-type": "text/html"}

DONE, FINAL, OPEN = ("done", "done", False), ("failed", "failed", True), ("failed", "failed", False)
CANCELLED, EXPIRED = ("cancelled", "cancelled", False), ("failed", "expired", True)
STAYS, FETCH = Open.STAYS, Open.FETCH


def outcome_of(outcome: Any, completed: Completed | None) -> Any:
    end = end_of(outcome, completed=completed, at=5.0)
    if isinstance(end, Open):
        return end
    assert end.at == 5.0
    assert end.payload is not None
    return (end.state, end.outcome, end.final)


def api(status: int, kind: type[ApiError] = ApiError, **more: Any) -> ApiError:
    return kind("words", status=status, **{"headers": OF_FAL, "body": {"detail": "words"}, **more})


def by_caller(error: FalError) -> FalError:
    error.from_caller = True
    return error


# A response or error, and the stored outcome: if no status COMPLETED was seen, if one was, and if one with an error
# was.
TABLE: list[tuple[Any, Any, Any, Any]] = [
    (HttpResponse(status=200, headers=OF_FAL, body=b"{}"), DONE, DONE, DONE),
    (HttpResponse(status=207, headers={}, body=b""), DONE, DONE, DONE),
    (api(422, ValidationError), STAYS, FINAL, FINAL),
    (api(422, ContentPolicyError), STAYS, FINAL, FINAL),
    (api(400), STAYS, FINAL, FINAL),
    (api(400, body={"detail": "Request is still in progress"}), STAYS, STAYS, STAYS),
    (api(400, body={"status": "IN_QUEUE"}), STAYS, STAYS, STAYS),
    (api(400, headers=HTML), STAYS, STAYS, STAYS),
    (api(400, headers={}), STAYS, STAYS, FINAL),
    (api(422, ValidationError, headers={}), STAYS, STAYS, FINAL),
    (api(422, ValidationError, headers={}, errors=DETAIL), STAYS, FINAL, FINAL),
    (api(402), STAYS, STAYS, FINAL),
    (api(405), STAYS, STAYS, FINAL),
    (api(409), STAYS, STAYS, FINAL),
    (api(413), STAYS, STAYS, FINAL),
    (api(413, errors=DETAIL), STAYS, FINAL, FINAL),
    (api(418), STAYS, STAYS, FINAL),
    (api(404, NotFoundError), STAYS, STAYS, FINAL),
    (api(404, ResultExpiredError), EXPIRED, EXPIRED, EXPIRED),
    (api(401, AuthenticationError), STAYS, STAYS, STAYS),
    (api(403, PermissionDeniedError), STAYS, STAYS, STAYS),
    (api(403, BalanceExhaustedError), STAYS, STAYS, STAYS),
    (api(403, PermissionDeniedError, errors=DETAIL), STAYS, STAYS, STAYS),
    (api(408), STAYS, STAYS, OPEN),
    (api(425), STAYS, STAYS, STAYS),
    (api(429, RateLimitError), STAYS, STAYS, OPEN),
    (api(499), STAYS, CANCELLED, CANCELLED),
    (api(499, error_type="client_cancelled"), STAYS, CANCELLED, CANCELLED),
    (api(499, headers={}), STAYS, STAYS, FINAL),
    (api(499, headers={}, error_type="client_cancelled"), STAYS, CANCELLED, CANCELLED),
    (RequestCancelledError("c"), CANCELLED, CANCELLED, CANCELLED),
    (api(500, ServerError), STAYS, STAYS, OPEN),
    (api(500, ServerError, errors=DETAIL), STAYS, OPEN, OPEN),
    (api(502, ServerError, headers=HTML), STAYS, STAYS, STAYS),
    (api(503, ServerError), STAYS, STAYS, OPEN),
    (api(504, ServerError), STAYS, STAYS, OPEN),
    (api(504, StartTimeoutError), OPEN, OPEN, OPEN),
    (RequestFailedError("r", error_type="runner_disconnected"), OPEN, OPEN, OPEN),
    (api(202), STAYS, STAYS, STAYS),
    (api(302), STAYS, STAYS, STAYS),
    (TransportError("t"), STAYS, STAYS, STAYS),
    (TransportTimeoutError("t"), STAYS, STAYS, STAYS),
    (ClientTimeoutError("t", timeout=1.0), STAYS, STAYS, STAYS),
    (ResponseDecodeError("cut"), STAYS, STAYS, STAYS),
    (SessionStateError("closed"), STAYS, STAYS, STAYS),
    (StreamError("cut"), STAYS, STAYS, STAYS),
    (ConfigurationError("c"), STAYS, STAYS, STAYS),
    (LedgerError("full"), STAYS, STAYS, STAYS),
    (by_caller(api(422, ValidationError)), STAYS, STAYS, STAYS),
    (by_caller(RequestCancelledError("of another one")), STAYS, STAYS, STAYS),
    (CancelOutcome.CANCELLED, CANCELLED, CANCELLED, CANCELLED),
    (CancelOutcome.CANCELLATION_REQUESTED, STAYS, STAYS, STAYS),
    (CancelOutcome.REFUSED, STAYS, STAYS, STAYS),
    (CancelOutcome.FAILED, STAYS, STAYS, STAYS),
    (CancelOutcome.ALREADY_COMPLETED, FETCH, FETCH, FETCH),
    (CancelOutcome.NOT_FOUND, FETCH, FETCH, FETCH),
]


@pytest.mark.parametrize(("outcome", "unknown", "well", "badly"), TABLE)
def test_a_response_or_error_is_the_outcome_of_an_attempt_only_if_the_table_says_so(
    outcome: Any, unknown: Any, well: Any, badly: Any
) -> None:
    assert outcome_of(outcome, None) == unknown
    assert outcome_of(outcome, WELL) == well
    assert outcome_of(outcome, BADLY) == outcome_of(outcome, TYPED) == badly


@pytest.mark.parametrize(
    ("taken_at", "becomes"),
    [(None, EXPIRED), (1_000.0, EXPIRED), (1_639.0, EXPIRED), (1_641.0, STAYS), (2_100.0, STAYS)],
)
def test_a_404_is_not_an_expired_result_before_fal_can_have_expired_it(
    taken_at: float | None, becomes: Any
) -> None:
    gone = api(404, ResultExpiredError)
    end = end_of(gone, completed=WELL, at=2_000.0, taken_at=taken_at)
    assert (end if isinstance(end, Open) else (end.state, end.outcome, end.final)) == becomes


def test_no_http_status_is_an_outcome_before_the_request_is_complete() -> None:
    met = [row[0] for row in TABLE]
    assert set(CancelOutcome) <= {outcome for outcome in met if isinstance(outcome, CancelOutcome)}
    for status in range(300, 600):
        assert outcome_of(api(status), None) in (STAYS, CANCELLED), (
            "no status is final before the request is complete"
        )


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_that_are_not_in_the_table_are_never_the_outcome_of_an_attempt(name: str) -> None:
    kind = getattr(errors, name)
    ends = (ApiError, RequestCancelledError, RequestFailedError)
    if not (isinstance(kind, type) and issubclass(kind, FalError)) or issubclass(kind, ends):
        return
    error = kind("words", timeout=1.0) if kind is ClientTimeoutError else kind("words")
    assert outcome_of(error, BADLY) is STAYS


def test_a_result_is_stored_raw_with_only_the_headers_that_are_kept() -> None:
    headers = {
        "content-type": "application/json; charset=utf-8",
        "x-fal-request-id": "id-1",
        "x-fal-billable-units": "1.50",
        "x-fal-cdn-token": "secret",
        "set-cookie": "a=b",
    }
    end = end_of(HttpResponse(status=200, headers=headers, body=b'{"a": NaN}'), completed=None, at=1.0)
    assert not isinstance(end, Open)
    assert end.payload is not None
    assert (end.payload.body, end.payload.content_type) == (b'{"a": NaN}', "application/json; charset=utf-8")
    assert end.headers == {name: headers[name] for name in list(headers)[:3]}
    assert str(end.billable_units) == "1.50"
    assert "secret" not in repr(attrs.asdict(end))


def test_a_content_type_with_lone_surrogates_is_stored_as_valid_text() -> None:
    response = HttpResponse(status=200, headers={"content-type": "text/plain; x=\udce9"}, body=b"a")
    end = end_of(response, completed=WELL, at=1.0)
    assert isinstance(end, End)
    assert end.payload == Payload(content_type="text/plain; x=?", body=b"a")


def test_a_failed_attempt_is_stored_with_its_error_and_its_billable_units() -> None:
    headers = {**OF_FAL, "x-fal-billable-units": "0"}
    end = end_of(api(422, ValidationError, headers=headers), completed=BADLY, at=1.0)
    assert not isinstance(end, Open)
    assert str(end.billable_units) == "0"
    assert end.payload is not None
    assert type(parse_error(end.payload.body)) is ValidationError


def failed_by(response: ApiError) -> FalError:
    error = RequestFailedError("it failed")
    error.__cause__ = response
    return error


@pytest.mark.parametrize(
    ("outcome", "cost"),
    [
        (api(500, ServerError, errors=DETAIL), 0),
        (api(504, StartTimeoutError), 0),
        (failed_by(api(500)), 0),
        (CancelOutcome.CANCELLED, 0),
        (api(500, ServerError, headers={**OF_FAL, "x-fal-billable-units": "2"}), None),
        (failed_by(api(502, headers=HTML)), None),
        (failed_by(api(200)), None),
        (RequestFailedError("it failed"), None),
        (api(422, ValidationError), None),
        (api(499), None),
        (api(404, ResultExpiredError), None),
        (HttpResponse(status=200, headers=OF_FAL, body=b"{}"), None),
    ],
)
def test_an_outcome_costs_nothing_only_if_fal_certainly_does_not_bill_it(
    outcome: Any, cost: int | None
) -> None:
    end = end_of(outcome, completed=BADLY, at=5.0)
    assert isinstance(end, End)
    assert end.cost == cost


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def ring() -> BaseException:
    one, other = SessionStateError("a"), TransportError("b")
    one.__cause__, other.__cause__ = other, one
    return one


UNCERTAIN = SubmissionUncertainError("u")
OF_SUBMIT: list[tuple[BaseException, Claim, Claim]] = [
    # The error of the submit; what becomes of the claim if nothing was sent, and if any byte may have been sent.
    (api(401, AuthenticationError), Claim.WITHDRAW, Claim.WITHDRAW),
    (api(403, BalanceExhaustedError), Claim.WITHDRAW, Claim.WITHDRAW),
    (api(422, ValidationError), Claim.WITHDRAW, Claim.WITHDRAW),
    (api(429, RateLimitError), Claim.WITHDRAW, Claim.WITHDRAW),
    (api(500, ServerError), Claim.WITHDRAW, Claim.WITHDRAW),
    (api(504, StartTimeoutError), Claim.WITHDRAW, Claim.WITHDRAW),
    (TransportError("refused"), Claim.WITHDRAW, Claim.WITHDRAW),
    (ConfigurationError("no key"), Claim.WITHDRAW, Claim.WITHDRAW),
    (UploadError("a file"), Claim.WITHDRAW, Claim.WITHDRAW),
    (SessionStateError("closed"), Claim.WITHDRAW, Claim.WITHDRAW),
    (ClientTimeoutError("t", timeout=1.0), Claim.WITHDRAW, Claim.WITHDRAW),
    (by_caller(TransportError("of on_retry")), Claim.WITHDRAW, Claim.UNCERTAIN),
    (ring(), Claim.WITHDRAW, Claim.WITHDRAW),
    (UNCERTAIN, Claim.UNCERTAIN, Claim.UNCERTAIN),
    (caused(ClientTimeoutError("t", timeout=1.0), UNCERTAIN), Claim.UNCERTAIN, Claim.UNCERTAIN),
    (caused(SessionStateError("closed"), UNCERTAIN), Claim.UNCERTAIN, Claim.UNCERTAIN),
    (KeyboardInterrupt(), Claim.WITHDRAW, Claim.UNCERTAIN),
    (MemoryError(), Claim.WITHDRAW, Claim.UNCERTAIN),
    (ZeroDivisionError(), Claim.WITHDRAW, Claim.UNCERTAIN),
]


@pytest.mark.parametrize(("error", "unsent", "sent"), OF_SUBMIT)
def test_a_claim_is_withdrawn_only_if_fal_certainly_accepted_nothing(
    error: BaseException, unsent: Claim, sent: Claim
) -> None:
    assert claim_after(error, sent=False) is unsent
    assert claim_after(error, sent=True) is sent
