"""Realtime URLs, tokens, frames and close codes."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.config import Settings
from fal_async.errors import ConfigurationError, ResponseDecodeError
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.fields import jwt_expiry
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.realtime import (
    Control,
    Ended,
    Failed,
    Timings,
    Unauthorized,
    Unknown,
    check_max_buffering,
    close_words,
    control_of,
    is_lost,
    is_normal,
    may_be_control,
    parse_token,
    read_text,
    realtime_url,
    token_request,
    usable,
)

SETTINGS = Settings()


def jwt(claims: Any) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256"}, claims)]
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), "signature"])


@pytest.mark.parametrize(
    ("endpoint_id", "path", "expected"),
    [
        ("fal-ai/lcm", "/realtime", "wss://fal.run/fal-ai/lcm/realtime"),
        ("fal-ai/lcm/realtime", "/realtime", "wss://fal.run/fal-ai/lcm/realtime"),
        ("fal-ai/lcm", "ws", "wss://fal.run/fal-ai/lcm/ws"),
        ("fal-ai/lcm/turbo", "/realtime", "wss://fal.run/fal-ai/lcm/turbo/realtime"),
        ("workflows/me/app", "/realtime", "wss://fal.run/workflows/me/app/realtime"),
        ("123-lcm", "/realtime", "wss://fal.run/123/lcm/realtime"),
    ],
)
def test_the_realtime_url_has_the_endpoint_id_with_its_path(
    endpoint_id: str, path: str, expected: str
) -> None:
    assert realtime_url(SETTINGS, EndpointId.parse(endpoint_id, path), None, None) == expected


@given(st.text(min_size=1), st.none() | st.integers(1, 60))
def test_the_query_of_the_realtime_url_carries_any_token(token: str, max_buffering: int | None) -> None:
    try:
        token.encode()
    except UnicodeEncodeError:
        return
    query = parse_qs(urlsplit(realtime_url(SETTINGS, EndpointId.parse("a/b"), token, max_buffering)).query)
    assert query["fal_jwt_token"] == [token]
    assert query.get("max_buffering") == (None if max_buffering is None else [str(max_buffering)])


@pytest.mark.parametrize("value", [0, 61, -1, 1.5, "5", True])
def test_max_buffering_must_be_an_int_from_1_to_60(value: Any) -> None:
    for good in (None, 1, 60):
        check_max_buffering(good)
    with pytest.raises(ConfigurationError, match="1 to 60"):
        check_max_buffering(value)


def test_both_forms_of_a_realtime_token_request_name_the_app() -> None:
    endpoint = EndpointId.parse("workflows/me/app", "/realtime")
    alias = token_request(SETTINGS, endpoint, "alias", 120)
    assert (alias.method, alias.url) == ("POST", "https://rest.fal.ai/tokens/")
    assert alias.body == b'{"allowed_apps":["app"],"token_expiration":120}'
    path = token_request(SETTINGS, endpoint, "path", 60)
    assert path.url == "https://rest.fal.ai/tokens/realtime"
    assert path.body == b'{"allowed_apps":["workflows/me/app/realtime"],"duration":60}'


@pytest.mark.parametrize("body", ['"t"', '{"token":"t"}', '{"detail":"t"}'])
def test_all_forms_of_a_token_response_are_parsed(body: str) -> None:
    token = parse_token(HttpResponse(status=200, headers={}, body=body.encode()), 1000.0, 120)
    assert (token.text, token.use_until) == ("t", 1108.0)
    assert "t" not in repr(token).replace("Token", "").replace("text", "").replace("until", "")


@pytest.mark.parametrize(
    "body", ['""', "5", "{}", '{"token":5}', "[]", "null", "<html>", r'"\ud800"', r'"a\nb"']
)
def test_a_token_response_without_a_token_is_a_decode_error(body: str) -> None:
    with pytest.raises(ResponseDecodeError):
        parse_token(HttpResponse(status=200, headers={}, body=body.encode()), 0, 120)


def test_a_realtime_token_is_used_for_nine_tenths_of_its_own_lifetime() -> None:
    assert jwt_expiry(jwt({"exp": 2000})) == 2000
    assert usable(jwt({"exp": 2000}), 1000, 120).use_until == 1900
    assert usable(jwt({"exp": 500}), 1000, 120).use_until == 1000
    for without in (jwt({}), jwt([]), jwt({"exp": "soon"}), jwt({"exp": True}), "opaque", "a.b.c", "a.!.c"):
        assert jwt_expiry(without) is None
        assert usable(without, 1000, 120).use_until == 1108


@given(st.text())
def test_reading_the_expiry_of_any_text_never_raises(token: str) -> None:
    jwt_expiry(token)
    jwt_expiry(f"a.{token}.c")


INTERNAL = {"type": "x-fal-error", "error": "INTERNAL_ERROR", "reason": "why"}


@pytest.mark.parametrize(
    ("value", "control"),
    [
        ({"type": "x-fal-message", "action": "timings", "timing": 0.5}, Timings(0.5)),
        ({"type": "x-fal-message", "action": "other"}, Unknown()),
        ({"type": "x-fal-message", "action": "timings"}, Unknown()),
        ({"type": "x-fal-message", "action": "timings", "timing": 10**400}, Unknown()),
        ({"type": "x-fal-error", "error": "TIMEOUT", "reason": "idle"}, Ended("idle")),
        (INTERNAL, Failed("INTERNAL_ERROR", "why")),
        ({"type": "x-fal-error"}, Failed("unknown error", "")),
        ({"status": "error", "error": "Unauthorized"}, Unauthorized()),
        ({"status": "error", "error": "other"}, None),
        ({"type": "image"}, None),
        ({}, None),
        ([1, 2], None),
        (5, None),
        ("hi", None),
        (None, None),
    ],
)
def test_each_realtime_frame_has_the_meaning_in_the_table(value: Any, control: Control | None) -> None:
    assert control_of(value) == control
    assert read_text(json.dumps(value)) == (control, value)
    if control is not None:
        assert may_be_control(json.dumps(value))
        assert may_be_control(json.dumps(value, separators=(",", ":")))


@given(st.text())
def test_any_text_frame_is_a_message_or_a_control_frame(text: str) -> None:
    control, value = read_text(text)
    try:
        assert value == json.loads(text) or value != value
    except ValueError:
        assert (control, value) == (None, text)


def test_close_codes_of_realtime_connections_are_classified() -> None:
    assert is_normal(1000)
    assert not is_lost(1000)
    assert [code for code in range(1000, 5000) if is_lost(code)] == [1001, 1005, 1006, 1012, 1013, 1014]
    assert close_words(1006, "") == "the realtime connection broke"
    assert close_words(4001, "no quota").endswith("code 4001: no quota")
