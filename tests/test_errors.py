"""Errors: one short line without secrets, and they survive pickle, copy and other processes."""

from __future__ import annotations

import copy
import inspect
import json
import multiprocessing
import pickle
import time
from collections.abc import Callable
from multiprocessing import resource_tracker
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import fal_async.errors as module
from fal_async.errors import (
    ApiError,
    CancelOutcome,
    ClientTimeoutError,
    ErrorDetail,
    FalError,
    NotFoundError,
    RequestFailedError,
    RequestRef,
    ResponseDecodeError,
    ResultExpiredError,
    SessionStateError,
    SubmissionUncertainError,
    TransportTimeoutError,
    ValidationError,
    naming,
    one_line,
)

resource_tracker.ensure_running()  # a process of Python itself, which the pool below would leave behind else
KINDS: list[type[FalError]] = [
    kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, FalError)
]
IDS = {"request_id": "r-1", "endpoint_id": "fal-ai/flux/dev"}
EXTRA: dict[type[FalError], dict[str, Any]] = {
    ApiError: {
        "status": 422,
        "error_type": "missing",
        "errors": [
            ErrorDetail(msg="field required", type="missing", loc=("body", 0, "prompt"), input={"a": 1})
        ],
        "headers": {"x-fal-request-id": "r-1"},
        "body": {"detail": [1]},
        "retry_after": 1.5,
        "retryable": True,
    },
    ClientTimeoutError: {
        "timeout": 5.0,
        "last_status": "IN_QUEUE",
        "cancel_outcome": CancelOutcome.CANCELLED,
    },
    SessionStateError: {"cancel_outcome": CancelOutcome.ALREADY_COMPLETED},
    SubmissionUncertainError: {"operation": "run", "started_at": 1.0, "ended_at": 2.0, "input_digest": "ab"},
    RequestFailedError: {"error_type": "runner_disconnected"},
    ResponseDecodeError: {"paths": ["required field missing @ $.a"], "retryable": True},
}


def make(kind: type[FalError], message: object = "it broke", **more: Any) -> FalError:
    extra = next((EXTRA[base] for base in kind.__mro__ if base in EXTRA), {})
    return kind(message, **{**IDS, **extra, **more})


# The request that an error is about.


def test_about_sets_the_ids_that_an_error_lacks_and_keeps_its_own() -> None:
    ref = RequestRef(endpoint_id="fal-ai/flux/dev", request_id="r-1")
    error = NotFoundError("gone", status=404, request_id="r-2")
    assert error.about(ref) is error
    assert (error.request_id, error.endpoint_id) == ("r-2", "fal-ai/flux/dev")


def test_a_fal_error_that_leaves_a_naming_block_gets_the_ids() -> None:
    with pytest.raises(FalError) as caught, naming(RequestRef(request_id="r-1")):
        raise FalError("it broke")
    assert (caught.value.request_id, caught.value.endpoint_id) == ("r-1", None)


def test_a_naming_block_does_not_change_other_errors() -> None:
    with pytest.raises(KeyError), naming(RequestRef(request_id="r-1")):
        raise KeyError("other")


# The tree.


def test_the_error_tree_is_as_its_docstring_draws_it() -> None:
    drawing = inspect.getdoc(module) or ""
    assert [kind.__name__ for kind in KINDS if kind.__name__ not in drawing] == []
    for kind, builtin in [
        (module.ConfigurationError, ValueError),
        (module.SessionStateError, RuntimeError),
        (module.TransportTimeoutError, TimeoutError),
        (module.ClientTimeoutError, TimeoutError),
    ]:
        assert issubclass(kind, builtin)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_caught_as_fal_error_and_names_its_request(kind: type[FalError]) -> None:
    with pytest.raises(FalError) as caught:
        raise make(kind)
    error = caught.value
    assert (error.request_id, error.endpoint_id) == ("r-1", "fal-ai/flux/dev")
    assert "it broke" in str(error)
    assert "request r-1" in str(error)
    assert "endpoint fal-ai/flux/dev" in str(error)
    assert isinstance(error.retryable, bool)


# Pickle and copy.


def pickled(protocol: int) -> Callable[[FalError], FalError]:
    return lambda error: pickle.loads(pickle.dumps(error, protocol))


TRIPS: dict[str, Callable[[FalError], FalError]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle protocol {protocol}": pickled(protocol) for protocol in range(6)},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trip", TRIPS.values(), ids=TRIPS)
def test_every_error_survives_pickle_and_copy(
    kind: type[FalError], trip: Callable[[FalError], FalError]
) -> None:
    error = make(kind)
    error.add_note("a note")
    twin = trip(error)
    assert type(twin) is kind
    assert (str(twin), repr(twin), twin.args) == (str(error), repr(error), error.args)
    assert vars(twin) == vars(error)
    assert twin.to_dict() == error.to_dict()
    assert len({error, twin}) == 2  # hashable, and equal only to itself


def test_an_error_can_be_sent_to_another_process() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        error = pool.apply(make, (ResultExpiredError, "gone"))
        with pytest.raises(NotFoundError, match="422 it broke"):
            pool.apply(fail, (NotFoundError,))
    assert type(error) is ResultExpiredError


def fail(kind: type[FalError]) -> None:
    raise make(kind)


# To JSON.


@pytest.mark.parametrize("kind", KINDS)
def test_to_dict_of_every_error_is_json_with_its_class_and_ids(kind: type[FalError]) -> None:
    document = json.loads(json.dumps(make(kind).to_dict(), allow_nan=False))
    assert document["error"] == kind.__name__
    assert "it broke" in document["message"]
    assert document["request_id"] == "r-1"
    assert document["endpoint_id"] == "fal-ai/flux/dev"
    names = {name for base in kind.__mro__ for name in EXTRA.get(base, {})} - {"headers", "body"}
    assert names <= set(document)


def test_to_dict_of_an_error_contains_neither_inputs_nor_bodies() -> None:
    document = make(ValidationError).to_dict()
    assert document["errors"] == [{"loc": ["body", 0, "prompt"], "msg": "field required", "type": "missing"}]
    assert {"body", "headers", "input"} & set(document) == set()


# Secrets.

word = st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789", min_size=8, max_size=40)
hexes = st.text(alphabet="0123456789abcdef", min_size=32, max_size=32)


def planted(secret: str) -> st.SearchStrategy[str]:
    """Return strings with the secret in places where a server, a gateway or a library would put it."""
    return st.sampled_from(
        [
            f"Key {secret}:{secret}",
            f"header 'Authorization: Key 0b1c:{secret}' was refused",
            f"authorization: key {secret}:x",
            f"Bearer {secret}",
            f"bad token eyJhbGciOiJIUzI1NiJ9.{secret}.{secret}",
            f"8e2d4f6a-1111-2222-3333-444455556666:{secret}",
            f"https://me.example/hook?token={secret}",
            f"see https://v3.fal.media/files/a.png?identity={secret}, please",
            f"https://me.example/cb#access_token={secret}",
            f"https://user:{secret}@me.example/x",
            f"https://{secret}@me.example",
            f"http://user:{secret}/@proxy:8080/",
            f"wss://fal.run/a/b/realtime?fal_jwt_token={secret}&max_buffering=2",
            f"url='/storage/x?X-Amz-Signature={secret}'",
            f"data:image/png;base64,{secret}",
            f"data:;base64,{secret}",
            f"DATA:text/plain,{secret}",
            f'could not load "data:audio/wav;base64,{secret}=="',
            f"{secret * 16}",
        ]
    )


@st.composite
def texts_with_secrets(draw: st.DrawFn) -> tuple[str, str]:
    secret = draw(hexes | word.map(lambda text: "s3" + text))
    filler = st.text(alphabet="abc .,:()'\n\t\u00e4", max_size=80)
    before, after = draw(filler), draw(filler)
    return secret, f"{before} {draw(planted(secret))} {after}"


@given(texts_with_secrets(), st.sampled_from(KINDS))
def test_an_error_never_shows_a_secret_of_its_message(
    planted_secret: tuple[str, str], kind: type[FalError]
) -> None:
    secret, text = planted_secret
    error = make(kind, text)
    for part in outlets(error):
        assert secret not in part


@given(texts_with_secrets())
def test_an_error_never_shows_a_secret_of_the_response(planted_secret: tuple[str, str]) -> None:
    secret, text = planted_secret
    detail = ErrorDetail(msg=text, type=text, loc=("body", text), ctx={"a": text}, url=text, input=text)
    errors: list[FalError] = [
        ValidationError(text, status=422, error_type=text, errors=[detail], headers={"a": text}, body=text),
        RequestFailedError(text, error_type=text),
        ClientTimeoutError(text, timeout=1.0, last_status=text),
        ResponseDecodeError(text, paths=[text]),
    ]
    for error in errors:
        for part in [*outlets(error), repr(detail), str(detail)]:
            assert secret not in part


def outlets(error: FalError) -> list[str]:
    return [str(error), repr(error), error.message, json.dumps(error.to_dict())]


@given(st.text() | st.text(alphabet="a:/?#@=&.- \n'\"", max_size=400))
@example("\ud800")
@example("x" * 1_000_000)
def test_every_message_is_one_short_printable_line(text: str) -> None:
    error = NotFoundError(text, status=404, request_id="r" * 500, endpoint_id="e" * 500)
    for line in (str(error), one_line(text)):
        assert len(line) < 300
        assert len(line.splitlines()) <= 1
        line.encode()


@pytest.mark.parametrize(
    "piece", ["a.", "a://", "data:", "eyJ", "https://x@", "?a", "Key ", "\u00e4-", "0123abcd-"]
)
def test_redaction_of_a_long_hostile_string_takes_less_than_five_seconds(piece: str) -> None:
    began = time.process_time()
    one_line(piece * (1_000_000 // len(piece)))
    # A generous limit: a regular expression that backtracks takes minutes.
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "text",
    [
        "body.prompt: field required",
        "the key is wrong: Key expected",
        "no FAL_KEY found: set the environment variable FAL_KEY to your key (https://fal.ai/dashboard/keys)",
        "what data: none, says the server?",
        "endpoint fal-ai/flux/dev at https://queue.fal.run/fal-ai/flux/requests/1",
        "request 764cabcf-b745-4b3e-ae38-1200304cf45b: not found",
        "mail me@example.com",
    ],
)
def test_redaction_leaves_ordinary_messages_unchanged(text: str) -> None:
    assert one_line(text) == text


def test_a_transport_timeout_is_also_a_builtin_timeout_error() -> None:
    with pytest.raises(TimeoutError):
        raise TransportTimeoutError("slow")
