"""The login of fal's command line: its file, its tokens and their refresh (protocol 1.4)."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fal_async.config import Hosts
from fal_async.errors import FalError, ResponseDecodeError
from fal_async.protocol.cli_login import (
    LEEWAY,
    LoginFile,
    access_token_of,
    is_fresh,
    parse_login_file,
    refresh_request,
)
from fal_async.protocol.fields import jwt_expiry
from fal_async.protocol.http import HttpResponse
from tests.protocol.test_http import json_values


def token(claims: Any) -> str:
    text = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{text}.signature"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("refresh\naccess\n", ("refresh", "access")),
        ("refresh\r\naccess", ("refresh", "access")),
        (" refresh \n\n", ("refresh", None)),
        ("refresh", ("refresh", None)),
        ("refresh\naccess\nmore", ("refresh", "access")),
        ("", None),
        ("\naccess", None),
        ("   \n", None),
    ],
)
def test_the_login_file_has_a_refresh_token_and_perhaps_an_access_token(
    text: str, expected: tuple[str, str | None] | None
) -> None:
    login = parse_login_file(text)
    assert (None if login is None else (login.refresh_token, login.access_token)) == expected


@given(st.text())
def test_any_text_is_read_as_a_login_file_without_error(text: str) -> None:
    login = parse_login_file(text)
    assert login is None or (login.refresh_token == login.refresh_token.strip() != "")


def test_the_repr_of_a_login_does_not_show_its_tokens() -> None:
    assert "s3cret" not in repr(LoginFile(refresh_token="s3cret-1", access_token="s3cret-2"))


def test_a_login_token_is_fresh_until_five_minutes_before_its_expiry() -> None:
    assert jwt_expiry(token({"exp": 1_700_000_000})) == 1_700_000_000
    assert jwt_expiry(token({"exp": 1.5})) == 1.5
    fresh = token({"exp": 10_000})
    assert is_fresh(fresh, 10_000 - LEEWAY - 1)
    assert not is_fresh(fresh, 10_000 - LEEWAY)


@given(
    st.text() | st.builds(token, json_values | st.fixed_dictionaries({"exp": json_values})),
    st.floats(0, 1e12),
)
@example(token({"exp": 10**400}), 0.0)
@example(token({"exp": float("inf")}), 0.0)
@example(token({"exp": float("nan")}), 0.0)
@example("a." + base64.urlsafe_b64encode(b"[" * 100_000).decode() + ".b", 0.0)
def test_any_text_as_a_token_has_a_finite_expiry_or_none(text: str, now: float) -> None:
    expiry = jwt_expiry(text)
    assert expiry is None or isinstance(expiry, float)
    if is_fresh(text, now):
        assert expiry is not None
        assert now + LEEWAY < expiry < float("inf")


def test_the_request_for_a_fresh_login_has_its_token_in_the_body_and_no_key() -> None:
    request = refresh_request(Hosts(), LoginFile(refresh_token="s3cret&x=1"))
    assert (request.method, request.url, request.auth) == ("POST", "https://auth.fal.ai/oauth/token", False)
    assert isinstance(request.body, bytes)
    form = parse_qs(request.body.decode())
    assert (form["grant_type"], form["refresh_token"]) == (["refresh_token"], ["s3cret&x=1"])
    assert "s3cret" not in repr(request)


@given(st.binary() | st.builds(lambda value: json.dumps(value).encode(), json_values))
@example(b'{"access_token": ""}')
@example(b'{"access_token": 7}')
def test_a_login_response_without_a_token_is_a_decode_error(body: bytes) -> None:
    try:
        found = access_token_of(HttpResponse(status=200, headers={}, body=body))
    except FalError as error:
        assert isinstance(error, ResponseDecodeError)  # noqa: PT017
        return
    assert found == json.loads(body)["access_token"]


def test_the_access_token_is_read_from_the_login_response() -> None:
    assert access_token_of(HttpResponse(status=200, headers={}, body=b'{"access_token": "t"}')) == "t"
