"""Stored and replayed errors: equal for every class, without inputs, and readable from any bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async import errors
from fal_async.errors import (
    ApiError,
    CancelOutcome,
    ClientTimeoutError,
    ContentPolicyError,
    DownloadError,
    ErrorDetail,
    FalError,
    KeyConflictError,
    NotFoundError,
    RateLimitError,
    RealtimeError,
    RequestFailedError,
    ResponseDecodeError,
    ServerError,
    SessionStateError,
    StreamError,
    SubmissionUncertainError,
    UploadError,
    ValidationError,
)
from fal_async.protocol.api_errors import error_of
from fal_async.protocol.http import HttpRequest, HttpResponse, Operation
from fal_async.protocol.ledger.entry import Payload
from fal_async.protocol.ledger.stored_errors import LARGEST, parse_error, stored_error

KINDS = [
    kind
    for name in errors.__all__
    if isinstance(kind := getattr(errors, name), type) and issubclass(kind, FalError)
]
words = st.text(max_size=300)
names = st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
seconds = st.none() | st.floats(0, 1e9)
outcomes = st.none() | st.sampled_from(CancelOutcome)
details = st.builds(
    ErrorDetail,
    msg=st.text(st.characters(codec="utf-8"), max_size=60).map(lambda text: " ".join(text.split())),
    type=st.sampled_from(["missing", "less_than", ""]),
    loc=st.lists(st.sampled_from(["body", "prompt"]) | st.integers(0, 9), max_size=4).map(tuple),
    ctx=st.none() | st.fixed_dictionaries({"le": st.integers(0, 100), "expected": st.just(["a", 1])}),
    url=st.none() | st.just("https://docs.fal.ai/errors"),
)
OWN: dict[type[FalError], dict[str, st.SearchStrategy[Any]]] = {
    ApiError: {
        "status": st.integers(100, 599),
        "error_type": names,
        "errors": st.lists(details, max_size=3),
        "headers": st.just({"x-fal-request-id": "id-1", "x-fal-needs-retry": "1"}),
        "retry_after": seconds,
        "retryable": st.none() | st.booleans(),
    },
    RequestFailedError: {"error_type": names},
    SubmissionUncertainError: {
        "operation": st.sampled_from(["run", "submit"]),
        "started_at": seconds,
        "ended_at": seconds,
        "input_digest": names,
    },
    KeyConflictError: {
        "key": words.filter(str.isascii),
        "differs": st.sampled_from(["input", "endpoint_id"]),
    },
    ClientTimeoutError: {"timeout": st.floats(0, 1e6), "last_status": names, "cancel_outcome": outcomes},
    SessionStateError: {"cancel_outcome": outcomes},
    ResponseDecodeError: {"paths": st.lists(words, max_size=3)},
    StreamError: {"reason": st.sampled_from(["cut", "idle"]), "count": st.integers(0, 10**6)},
    RealtimeError: {"code": st.none() | st.integers(0, 4999), "reason": words, "error": names},
    UploadError: {"part": st.none() | st.integers(1, 10_000)},
}


def made(kind: type[FalError]) -> st.SearchStrategy[FalError]:
    own = next((OWN[above] for above in kind.__mro__ if above in OWN), {})
    return st.builds(kind, words, request_id=names, endpoint_id=names, **own)


@given(st.sampled_from(KINDS).flatmap(made))
def test_every_error_is_equal_after_it_is_stored_and_parsed(error: FalError) -> None:
    stored = stored_error(error)
    again = parse_error(stored.body)
    assert type(again) is type(error)
    assert again.to_dict() == error.to_dict()
    assert (str(again), again.args, again.message) == (str(error), error.args, error.message)
    assert kept(again) == kept(error)
    assert stored_error(again) == stored
    assert stored.content_type == "application/json"


def kept(error: FalError) -> dict[str, Any]:
    """Return all fields but those that are large, not JSON, or about an input, and `retryable`."""
    gone = {"retryable", "body", "received", "detail", "in_flight", "causes", "missing", "paths"}
    gone -= {"paths"} if isinstance(error, ResponseDecodeError) else set()
    return {name: value for name, value in error.__dict__.items() if name not in gone}


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_class_is_stored_under_its_own_name(kind: type[FalError]) -> None:
    more: dict[str, Any] = {"status": 418} if issubclass(kind, ApiError) else {}
    more |= {"timeout": 2.0} if kind is ClientTimeoutError else {}
    body = stored_error(kind("words", **more)).body
    assert json.loads(body)["kind"] == kind.__name__
    assert type(parse_error(body)) is kind


def test_the_message_of_a_stored_error_is_not_shortened_a_second_time() -> None:
    error = FalError("Key a:b:c is refused")
    assert parse_error(stored_error(error).body).message == error.message


def test_an_error_of_a_callers_subclass_is_replayed_as_its_nearest_known_base() -> None:
    class Mine(ValidationError):
        pass

    again = parse_error(stored_error(Mine("words", status=422)).body)
    assert type(again) is ValidationError


SECRET = "the prompt that nobody else may read"


def test_a_stored_error_contains_nothing_that_echoes_the_input() -> None:
    body = {
        "detail": [
            {
                "msg": "too long data:image/png;base64," + "A" * 500,
                "type": "string_too_long",
                "loc": ["body", "prompt"],
                "ctx": {"max_length": 10, "error": SECRET, "pattern": SECRET, "expected": ["a", "b"]},
                "input": SECRET,
                "url": "https://docs.fal.ai/errors#string_too_long",
            }
        ]
    }
    request = HttpRequest(
        operation=Operation.RESULT, method="GET", url="https://queue.fal.run/a/b/requests/i"
    )
    headers = {"x-fal-request-id": "id-1", "x-fal-cdn-token": SECRET, "retry-after": "3", "via": SECRET}
    response = HttpResponse(status=422, headers=headers, body=json.dumps(body).encode())
    error = error_of(request, response)
    stored = stored_error(error)
    assert SECRET not in stored.body.decode()
    assert "AAAA" not in stored.body.decode()
    again = parse_error(stored.body)
    assert isinstance(again, ValidationError)
    (detail,) = again.errors
    assert (detail.type, detail.loc, detail.input) == ("string_too_long", ("body", "prompt"), None)
    assert detail.ctx == {"max_length": 10, "expected": ["a", "b"]}
    assert again.headers == {"x-fal-request-id": "id-1", "retry-after": "3"}
    assert (again.body, again.retry_after, again.message) == (None, 3.0, error.message)


@pytest.mark.parametrize("words", ["x y " * 400, "猫 " * 600])
def test_a_stored_error_is_at_most_64_kb(words: str) -> None:
    entries = [ErrorDetail(msg=words, type="t" * 500, loc=("p " * 200,) * 99) for _ in range(3000)]
    error = ValidationError("many", status=422, errors=entries)
    stored = stored_error(error)
    assert LARGEST // 2 < len(stored.body) <= LARGEST
    again = parse_error(stored.body)
    assert isinstance(again, ValidationError)
    assert again.errors[0].loc[0] == ("p " * 200)[:197] + "..."


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"kind": "QuotaError", "status": 422}, ValidationError),
        ({"kind": "QuotaError", "status": 404}, NotFoundError),
        ({"kind": "QuotaError", "status": 429}, RateLimitError),
        ({"kind": "QuotaError", "status": 503}, ServerError),
        ({"kind": "QuotaError", "status": 418}, ApiError),
        ({"kind": "QuotaError"}, FalError),
        ({"kind": "Exception", "status": True}, FalError),
        ({"kind": ["ValidationError"]}, FalError),
        ({"version": 7, "kind": "ContentPolicyError", "status": 422, "new": {"a": 1}}, ContentPolicyError),
        ({"kind": "SafeRepr"}, FalError),
        ({"kind": "one_line"}, FalError),
        ({"kind": "ValidationError", "status": "422", "errors": {"a": 1}, "headers": [1]}, ValidationError),
        ({"kind": "ClientTimeoutError", "timeout": "soon", "cancel_outcome": "LOST"}, ClientTimeoutError),
        ({"kind": "ClientTimeoutError", "cancel_outcome": []}, ClientTimeoutError),
        ({"kind": "DownloadError", "message": 7}, DownloadError),
        ([], RequestFailedError),
        ("ValidationError", RequestFailedError),
        (None, RequestFailedError),
    ],
)
def test_a_stored_error_of_an_unknown_kind_becomes_the_class_of_its_status(
    document: Any, kind: type[FalError]
) -> None:
    assert type(parse_error(json.dumps(document).encode())) is kind


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"\x80abc", b"[" * 100_000, b'{"kind": 1e999}', b"NaN"]
)
def test_a_stored_error_that_is_not_json_is_parsed_to_a_one_line_error(body: bytes) -> None:
    assert len(str(parse_error(body)).splitlines()) == 1


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    *(
        "version",
        "message",
        "request_id",
        "endpoint_id",
        "retryable",
        "status",
        "error_type",
        "errors",
        "headers",
    ),
    *(
        "retry_after",
        "operation",
        "started_at",
        "ended_at",
        "input_digest",
        "key",
        "differs",
        "timeout",
        "paths",
    ),
    *("last_status", "cancel_outcome", "reason", "count", "code", "error", "part", "loc", "msg"),
)


@given(
    st.dictionaries(st.sampled_from(FIELDS), anything, max_size=12),
    st.sampled_from([kind.__name__ for kind in KINDS]) | anything,
)
def test_any_json_is_parsed_to_some_error(document: dict[str, Any], kind: Any) -> None:
    body = json.dumps({**document, "kind": kind}).encode()
    error = parse_error(body)
    assert isinstance(error, FalError)
    assert error.to_dict()
    assert stored_error(parse_error(stored_error(error).body)) == stored_error(error)


@given(st.binary(max_size=60))
def test_any_bytes_are_parsed_to_some_error(body: bytes) -> None:
    assert str(parse_error(body))


def test_the_format_of_stored_errors_is_that_of_the_first_release() -> None:
    error = ValidationError(
        "body.prompt: too long",
        status=422,
        error_type="string_too_long",
        errors=[
            ErrorDetail(msg="too long", type="string_too_long", loc=("body", "prompt", 0), ctx={"le": 3})
        ],
        headers={"x-fal-request-id": "id-1", "content-type": "application/json"},
        request_id="id-1",
        endpoint_id="fal-ai/flux/dev",
    )
    assert stored_error(error) == Payload(
        content_type="application/json",
        body=(
            b'{"version":1,"kind":"ValidationError","message":"body.prompt: too long","request_id":"id-1",'
            b'"endpoint_id":"fal-ai/flux/dev","retryable":false,"status":422,"error_type":"string_too_long",'
            b'"retry_after":null,"headers":{"x-fal-request-id":"id-1","content-type":"application/json"},'
            b'"errors":[{"msg":"too long","type":"string_too_long","loc":["body","prompt",0],"ctx":{"le":3},'
            b'"url":null}]}'
        ),
    )
