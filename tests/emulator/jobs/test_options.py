from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from fal_async.emulator.jobs.options import BadOption, CallOptions, parse_options


def parsed(headers: dict[str, str] | None = None, **query: str) -> CallOptions:
    return parse_options(CIMultiDict(headers or {}), query)


def test_a_call_without_headers_and_query_has_the_default_options() -> None:
    assert parsed() == CallOptions()


def test_the_new_start_timeout_wins_over_the_old_name() -> None:
    both = {"X-Fal-Request-Timeout": "5", "x-fal-request-start-timeout": "0.2"}
    assert parsed(both).start_timeout == 0.2
    assert parsed({"X-Fal-Request-Timeout": "5"}).start_timeout == 5


@pytest.mark.parametrize("text", ["", "soon", "0.1", "-1", "nan", "inf"])
def test_a_malformed_start_timeout_is_refused(text: str) -> None:
    with pytest.raises(BadOption, match="X-Fal-Request-Timeout"):
        parsed({"X-Fal-Request-Timeout": text})


def test_only_the_queue_priority_low_has_an_effect() -> None:
    assert parsed({"X-Fal-Queue-Priority": "low"}).low_priority
    assert not parsed({"X-Fal-Queue-Priority": "highest"}).low_priority


@pytest.mark.parametrize(
    ("headers", "extra"),
    [
        ({"X-Fal-No-Retry": "yes"}, 0),
        ({"X-Fal-Retry-Config": '{"server_error": {"retries": 2}}'}, 2),
        ({"X-Fal-Retry-Config": '{"server_error": {"retries": 99}}'}, 9),
        ({"X-Fal-Retry-Config": '{"server_error": {"retries": 2}}', "X-Fal-No-Retry": "1"}, 0),
        ({"X-Fal-Retry-Config": "{broken"}, 9),
        ({"X-Fal-Retry-Config": "[]"}, 9),
    ],
    ids=str,
)
def test_retry_headers_set_the_extra_attempts_or_are_ignored(headers: dict[str, str], extra: int) -> None:
    assert parsed(headers).extra_attempts == extra


def test_store_io_hint_queue_length_and_webhook_are_read() -> None:
    options = parsed(
        {"X-Fal-Store-IO": "0", "X-Fal-Runner-Hint": "me"}, fal_max_queue_length="3", fal_webhook="u"
    )
    assert (options.store_io, options.hint) == (False, "me")
    assert (options.max_queue_length, options.webhook_url) == (3, "u")
    with pytest.raises(BadOption, match="fal_max_queue_length"):
        parsed(fal_max_queue_length="many")


NAMES = (
    "X-Fal-Request-Start-Timeout",
    "X-Fal-Request-Timeout",
    "X-Fal-Queue-Priority",
    "X-Fal-No-Retry",
    "X-Fal-Retry-Config",
    "X-Fal-Store-IO",
    "X-Fal-Runner-Hint",
)
WORDS = st.sampled_from(
    ["0", "1", "low", "true", "0.5", "-1", "nan", "1e400", '{"server_error":{"retries":3}}']
)


@given(
    headers=st.dictionaries(st.sampled_from(NAMES), WORDS | st.text(max_size=20)),
    query=st.dictionaries(
        st.sampled_from(["fal_max_queue_length", "fal_webhook"]), WORDS | st.text(max_size=9)
    ),
)
def test_any_headers_and_query_are_read_or_refused_with_bad_option(
    headers: dict[str, str], query: dict[str, str]
) -> None:
    try:
        options = parsed(headers, **query)
    except BadOption:
        return
    assert 0 <= options.extra_attempts <= 9
    assert options.start_timeout is None or 0.1 < options.start_timeout < float("inf")
    assert options.max_queue_length is None or options.max_queue_length >= 0
    assert options == parsed({name.lower(): text for name, text in headers.items()}, **query)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda j: st.lists(j) | st.dictionaries(st.sampled_from(["server_error", "retries", "x"]), j),
        max_leaves=8,
    )
)
def test_any_json_as_retry_config_gives_zero_to_nine_extra_attempts(config: object) -> None:
    assert 0 <= parsed({"X-Fal-Retry-Config": json.dumps(config)}).extra_attempts <= 9


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("env=prod, Team = a=b ", {"env": "prod", "team": "a=b"}),
        ("env=a,env=b", {"env": "b"}),
        ("env,=x,fal.x=1,k y=1,k=\u00e4,ok=1", {"ok": "1"}),
        (",".join(f"k{number}=v" for number in range(12)), {f"k{number}": "v" for number in range(10)}),
        (f"a={'x' * 257},b={'x' * 256}", {"b": "x" * 256}),
        (",".join(f"k={'x' * 256}" for _ in range(5)), {"k": "x" * 256}),
        ("", {}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_tags_are_read_and_wrong_ones_are_dropped_one_by_one(header: str, tags: dict[str, str]) -> None:
    assert parsed({"X-Fal-Tags": header}).tags == tags
