"""The options of a call as headers and query parameters (protocol 3.1)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fal_async.errors import ConfigurationError
from fal_async.options import NO_OPTIONS, CallOptions
from fal_async.protocol.options import JSON_HEADERS, check_webhook_url, option_headers, submit_query
from fal_async.storage_settings import StorageSettings

EVERYTHING = CallOptions(
    hint="lora-1",
    priority="low",
    start_timeout=12.5,
    headers={"Idempotency-Key": "k-1"},
    tags={"Team": "a b"},
    storage=StorageSettings(expires_in="1h", initial_acl="forbid"),
    store_io=False,
    no_retry=True,
    disable_fallback=True,
    max_queue_length=3,
)


def test_every_option_of_a_call_is_sent_as_its_header() -> None:
    assert option_headers(EVERYTHING, {"app": "x"}, queue=True) == {
        **JSON_HEADERS,
        "X-Fal-Request-Start-Timeout": "12.5",
        "X-Fal-Request-Timeout": "12.5",
        "X-Fal-Runner-Hint": "lora-1",
        "X-Fal-Queue-Priority": "low",
        "X-Fal-No-Retry": "1",
        "X-Fal-Store-IO": "0",
        "X-Fal-Object-Lifecycle-Preference": (
            '{"expiration_duration_seconds":3600,"initial_acl":{"default":"forbid"}}'
        ),
        "x-app-fal-disable-fallback": "1",
        "X-Fal-Tags": "app=x,team=a b",
        "Idempotency-Key": "k-1",
    }


def test_options_of_the_queue_are_not_sent_with_direct_calls() -> None:
    headers = option_headers(EVERYTHING, {}, queue=False)
    assert {"X-Fal-Queue-Priority", "X-Fal-No-Retry"} & set(headers) == set()
    assert headers["X-Fal-Runner-Hint"] == "lora-1"


def test_options_that_are_not_set_are_not_sent_as_headers() -> None:
    assert option_headers(NO_OPTIONS, {}, queue=True) == JSON_HEADERS
    said_no = CallOptions(no_retry=False, disable_fallback=False)
    assert option_headers(said_no, {}, queue=True) == JSON_HEADERS
    assert option_headers(CallOptions(store_io=True), {}, queue=True)["X-Fal-Store-IO"] == "1"


def test_tags_of_a_call_override_the_sessions_and_share_their_limit() -> None:
    call = CallOptions(tags={"a": "2", "b": "3"})
    assert option_headers(call, {"a": "1", "c": "4"}, queue=True)["X-Fal-Tags"] == "a=2,c=4,b=3"
    many = {f"t{n}": "x" for n in range(9)}
    with pytest.raises(ConfigurationError, match="at most 10"):
        option_headers(call, many, queue=True)


def test_the_callers_headers_override_others_regardless_of_case() -> None:
    headers = option_headers(CallOptions(headers={"accept": "image/png"}), {}, queue=True)
    assert headers == {"Content-Type": "application/json", "accept": "image/png"}


@given(st.floats(0.1, 1.7e308, exclude_min=True) | st.integers(1, 10**300))
@example(1e-1 + 1e-9)
@example(1234567.0)
@example(1e22)
def test_the_start_timeout_header_is_an_exact_decimal_number(seconds: float) -> None:
    text = option_headers(CallOptions(start_timeout=seconds), {}, queue=True)["X-Fal-Request-Start-Timeout"]
    assert set(text) <= set("0123456789.")
    assert Decimal(text) == Decimal(str(seconds))


def test_the_query_of_a_submit_has_the_webhook_and_the_queue_length() -> None:
    assert submit_query(NO_OPTIONS, None) == ""
    assert submit_query(CallOptions(max_queue_length=5), None) == "?fal_max_queue_length=5"
    assert submit_query(NO_OPTIONS, "https://a.b/c?d=e&f") == "?fal_webhook=https%3A%2F%2Fa.b%2Fc%3Fd%3De%26f"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.b/c",
        "ftp://a.b",
        "https://",
        "https://?x",
        "https:///x",
        "https://a b",
        "https://[::1",
        None,
        7,
    ],
)
def test_a_webhook_url_that_is_not_http_is_refused(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="webhook_url"):
        check_webhook_url(url)


@given(st.text() | st.builds("https://{}".format, st.text()))
@example("https://a.b/\ud800")
@example("http://user:pass@host/x?secret=1")
def test_any_webhook_url_is_encoded_in_the_query_or_refused(url: str) -> None:
    try:
        query = submit_query(NO_OPTIONS, url)
    except ConfigurationError as error:
        assert len(str(error)) < 300  # noqa: PT017
        return
    assert query.isascii()
    assert not set(query.partition("=")[2]) & set("&#? \r\n")
