"""The options of a call, which are validated when they are created."""

from __future__ import annotations

import copy
import inspect
import json
import math
import pickle
from collections.abc import Callable
from typing import Any, Unpack

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.config import RetryPolicy
from fal_async.errors import ConfigurationError
from fal_async.integrations.ray import FalMapper
from fal_async.options import (
    ARGUMENTS,
    NO_OPTIONS,
    CallOptions,
    QueueOptions,
    RunOptions,
    clean_headers,
    clean_tags,
    documented,
    tags_header,
)
from fal_async.session import Session
from fal_async.storage_settings import Decision, StorageSettings

WRONG: list[tuple[str, Any]] = [
    *(("hint", value) for value in ("", "a\nb", "\u20ac", 7, b"x")),
    *(("priority", value) for value in ("high", "", "LOW", 1, ["low"])),
    *(("start_timeout", value) for value in (0, 0.1, -1, math.nan, math.inf, "5", True, 10**400)),
    *(("headers", value) for value in ([("a", "b")], "a: b", {"a b": "c"}, {"": "x"}, {"a": "b\r\nc: d"})),
    *(("headers", {name: "x"}) for name in ("Authorization", "host", "Content-Length", "CONNECTION")),
    *(("tags", value) for value in (["a"], "a=b", {"a b": "c"}, {"": "x"}, {"fal.x": "y"}, {"a": "b,c"})),
    *(("tags", value) for value in ({"a": "\n"}, {"a": "\u00e4"}, {"a" * 65: "x"}, {"a": "x" * 257})),
    ("tags", {f"t{n}": "x" for n in range(11)}),
    ("tags", {f"t{n}": "x" * 200 for n in range(6)}),
    *(("storage", value) for value in ("1h", 3600, {"expires_in": "1h"})),
    *((name, value) for name in ("store_io", "no_retry", "disable_fallback") for value in (1, 0, "yes", "0")),
    *(("max_queue_length", value) for value in (-1, 1.5, True, "3")),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_an_invalid_option_is_refused_with_its_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name) as caught:
        CallOptions(**{name: value})
    assert len(str(caught.value)) < 300


def test_the_error_about_a_refused_header_does_not_show_its_value() -> None:
    for headers in ({"X-Token": "s3cret\n"}, {"Authorization": "Key s3cret:x"}):
        with pytest.raises(ConfigurationError) as caught:
            clean_headers(headers)
        assert "s3cret" not in str(caught.value)


def test_every_option_has_one_line_that_says_what_it_does() -> None:
    lines = {field.name: field.metadata["does"] for field in attrs.fields(CallOptions)}
    assert set(QueueOptions.__annotations__) == set(lines)
    queue_only = {name for name, line in lines.items() if line.endswith("queue only.")}
    assert set(RunOptions.__annotations__) == set(lines) - queue_only


def test_the_docstring_of_call_options_describes_them_with_the_lines_of_help() -> None:
    described = " ".join((CallOptions.__doc__ or "").split())
    for field in attrs.fields(CallOptions):
        assert f"{field.name}: {field.metadata['does']}" in described


def test_documented_lists_the_options_in_the_docstring() -> None:
    @documented(RunOptions)
    def run(**options: Unpack[RunOptions]) -> None:
        """Runs it."""

    assert run.__doc__ is not None
    first, _, heading, *lines = run.__doc__.splitlines()
    assert (first, heading) == ("Runs it.", "Options:")
    assert lines[0] == "    hint: fal prefers a runner that reported this hint (session affinity)."
    assert len(lines) == len(RunOptions.__annotations__)


def test_options_of_a_call_are_built_from_keyword_arguments() -> None:
    retry = RetryPolicy(max_attempts=1)
    given: QueueOptions = {"hint": "h", "no_retry": False, "retry": retry, "tags": None}
    options = CallOptions.of("submit", given, QueueOptions)
    assert options == CallOptions(hint="h", no_retry=False, retry=retry)


@pytest.mark.parametrize("given", [{}, {"hint": None}, {"hint": None, "retry": None}])
def test_a_call_without_options_uses_the_shared_default(given: dict[str, Any]) -> None:
    assert CallOptions.of("run", given, RunOptions) is NO_OPTIONS


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hnt": "h"}, "'hnt': did you mean 'hint'?"),
        ({"timout": 5}, "'timout': did you mean 'timeout'?"),
        ({"arguments": {}}, "'arguments': did you mean 'input'?"),
        ({"startTimeout": 5}, "'startTimeout': did you mean 'start_timeout'?"),
        ({"storageSettings": {}}, "'storageSettings': did you mean 'storage'?"),
        ({"with_logs": True}, "'with_logs': 'logs' is only for subscribe()"),
        ({"onQueueUpdate": print}, "'onQueueUpdate': 'on_queue_update' is only for subscribe()"),
        ({"hint": "h", "zzz": None}, "'zzz'"),
        ({"priority": "low"}, "'priority': it is only for requests that go through the queue"),
    ],
)
def test_an_unknown_option_raises_type_error_with_a_hint(given: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError) as caught:
        CallOptions.of("run", given, RunOptions)
    assert str(caught.value) == f"run() got an unexpected keyword argument {words}"


@pytest.mark.parametrize("function", ["subscribe", "submit"])
@pytest.mark.parametrize(
    ("name", "new"), [("arguments", "input"), ("webhookUrl", "webhook_url"), ("noRetry", "no_retry")]
)
def test_an_option_named_as_in_another_client_raises_with_our_name(
    function: str, name: str, new: str
) -> None:
    with pytest.raises(TypeError, match=f"{name!r}: did you mean {new!r}"):
        CallOptions.of(function, {name: None}, QueueOptions)


@pytest.mark.parametrize(
    ("name", "new"), [("with_logs", "logs"), ("pollInterval", "poll_interval"), ("client_timeout", "timeout")]
)
def test_a_subscribe_argument_named_as_in_another_client_raises_with_our_name(name: str, new: str) -> None:
    with pytest.raises(TypeError, match=f"{name!r}: did you mean {new!r}"):
        CallOptions.of("subscribe", {name: None}, QueueOptions)


FOLLOW: dict[str, Callable[..., Any]] = {
    "handle.status": lambda fal, **given: fal.queue.handle("me/app", "r-1").status(**given),
    "handle.updates": lambda fal, **given: fal.queue.handle("me/app", "r-1").updates(**given),
    "handle.wait": lambda fal, **given: fal.queue.handle("me/app", "r-1").wait(**given),
    "queue.status": lambda fal, **given: fal.queue.status("me/app", "r-1", **given),
    "queue.updates": lambda fal, **given: fal.queue.updates("me/app", "r-1", **given),
}


@pytest.mark.parametrize("follow", FOLLOW.values(), ids=FOLLOW)
@pytest.mark.parametrize("name", ["with_logs", "withLogs"])
async def test_methods_that_follow_a_request_raise_with_our_name_for_with_logs(
    follow: Callable[..., Any], name: str
) -> None:
    async with Session("a:b") as fal:
        with pytest.raises(TypeError, match=f"{name!r}: did you mean 'logs'"):
            await follow(fal, **{name: True})


@pytest.mark.parametrize("function", ARGUMENTS)
def test_arguments_offered_in_hints_are_those_of_the_signature(function: str) -> None:
    called = FalMapper if function == "FalMapper" else getattr(Session, function)
    parameters = inspect.signature(called).parameters.values()
    named = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD} - {"self", "endpoint_id"}
    assert set(ARGUMENTS[function]) == named


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"retry": 3}, r"^retry is of type int: expected RetryPolicy\(...\)$"),
        ({"inline_below": -1}, "^inline_below=-1: expected an int >= 0, or None$"),
    ],
)
def test_an_invalid_option_value_is_refused_when_the_call_is_made(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        CallOptions.of("run", given, RunOptions)


def test_given_options_make_a_value_with_every_option() -> None:
    assert CallOptions.of("subscribe", {}, QueueOptions) is NO_OPTIONS
    assert CallOptions.of("subscribe", {"no_retry": False}, QueueOptions) == CallOptions(no_retry=False)
    everything: dict[str, Any] = {
        "hint": "h",
        "priority": "low",
        "start_timeout": 1.0,
        "headers": {"a": "b"},
        "tags": {"c": "d"},
        "storage": StorageSettings(expires_in=5),
        "store_io": True,
        "no_retry": True,
        "disable_fallback": True,
        "max_queue_length": 0,
        "inline_below": 0,
        "check": "required",
    }
    assert CallOptions.of("subscribe", everything, QueueOptions) == CallOptions(**everything)
    assert {*everything, "retry"} == {field.name for field in attrs.fields(CallOptions)}


def test_options_survive_pickle_and_copy() -> None:
    storage = StorageSettings(expires_in="1d", initial_acl={"default": "hide"})
    for value in (NO_OPTIONS, CallOptions(hint="x", tags={"a": "b"}, storage=storage), storage):
        for twin in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
            assert twin == value


# Tags and headers.

keys = st.text(alphabet="abcXYZ09._-", min_size=1, max_size=64)
values = st.text(alphabet=[chr(c) for c in range(0x20, 0x7F) if chr(c) != ","], max_size=90)


@given(st.dictionaries(keys, values, max_size=10) | st.dictionaries(st.text(), st.text(), max_size=12))
def test_any_tags_become_a_valid_header_or_are_refused(tags: dict[str, str]) -> None:
    try:
        clean = clean_tags(tags)
    except ConfigurationError:
        return
    header = tags_header(clean)
    assert len(header) <= 1024
    assert header.isascii()
    assert [tuple(pair.split("=", 1)) for pair in header.split(",") if pair] == list(clean.items())
    assert clean == {key.lower(): value for key, value in tags.items()}
    assert clean_tags(clean) == clean


def test_of_two_tags_that_differ_in_case_the_last_wins() -> None:
    assert clean_tags({"Team": "a", "team": "b"}) == {"team": "b"}
    assert clean_tags(None) == {}


@given(st.dictionaries(st.text() | st.sampled_from(["X-A", "Idempotency-Key"]), st.text()))
def test_any_headers_are_valid_or_refused(headers: dict[str, str]) -> None:
    try:
        clean = clean_headers(headers)
    except ConfigurationError:
        return
    assert clean == headers
    for name, value in clean.items():
        assert name.isascii()
        assert name.isprintable()
        assert not set(name + value) & set("\r\n\0")
        value.encode("latin-1")


# Storage (protocol 7.4).


@pytest.mark.parametrize(
    ("settings", "wire"),
    [
        (StorageSettings(), {}),
        (StorageSettings(expires_in="never"), {}),
        (StorageSettings(expires_in="immediate"), {"expiration_duration_seconds": 60}),
        (StorageSettings(expires_in="1h"), {"expiration_duration_seconds": 3600}),
        (StorageSettings(expires_in="1d"), {"expiration_duration_seconds": 86_400}),
        (StorageSettings(expires_in="7d"), {"expiration_duration_seconds": 604_800}),
        (StorageSettings(expires_in="30d"), {"expiration_duration_seconds": 2_592_000}),
        (StorageSettings(expires_in="1y"), {"expiration_duration_seconds": 31_536_000}),
        (StorageSettings(expires_in=5), {"expiration_duration_seconds": 5}),
        (StorageSettings(initial_acl="forbid"), {"initial_acl": {"default": "forbid"}}),
        (StorageSettings(initial_acl=Decision.HIDE), {"initial_acl": {"default": "hide"}}),
        (
            StorageSettings(initial_acl={"default": "hide", "rules": [{"user": "me", "decision": "allow"}]}),
            {"initial_acl": {"default": "hide", "rules": [{"user": "me", "decision": "allow"}]}},
        ),
        (
            StorageSettings(initial_acl={"rules": ({"user": "me", "decision": Decision.ALLOW},)}),
            {"initial_acl": {"rules": [{"user": "me", "decision": "allow"}]}},
        ),
    ],
)
def test_storage_settings_become_the_json_that_fal_expects(
    settings: StorageSettings, wire: dict[str, Any]
) -> None:
    assert settings.to_wire() == wire
    assert json.loads(settings.header()) == wire
    assert settings.header().isascii()


@pytest.mark.parametrize("value", ["2h", "", 0, -5, 1.5, True, [1], "NEVER"])
def test_an_invalid_lifetime_is_refused_with_the_choices(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="never, immediate, 1h"):
        StorageSettings(expires_in=value)


@pytest.mark.parametrize(
    "value",
    [
        *("public", "", 5, [], ["default"], {"x": 1}, {"default": "x"}, {"default": None}, {"rules": 5}),
        *(
            {"rules": [{}]},
            {"rules": ["me"]},
            {"rules": [{"user": "me"}]},
            {"rules": [{"user": "m", "decision": 1}]},
        ),
        iter(()),
    ],
)
def test_an_invalid_access_rule_is_refused_with_the_expected_shape(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="initial_acl: expected 'allow'"):
        StorageSettings(initial_acl=value)


def test_internal_parameter_names_are_never_suggested() -> None:
    for name in ("unknow", "returns"):
        with pytest.raises(TypeError) as caught:
            Session("a:b", **{name: True})  # type: ignore[arg-type]
        assert not str(caught.value).endswith(("'unknown'?", "'return'?"))
