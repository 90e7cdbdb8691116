"""The command line's login: its file, its tokens, their refresh (protocol 1.4)."""

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
def test_the_file(text: str, expected: tuple[str, str | None] | None) -> None:
    login = parse_login_file(text)
    assert (None if login is None else (login.refresh_token, login.access_token)) == expected


@given(st.text())
def test_any_file_is_read(text: str) -> None:
    login = parse_login_file(text)
    assert login is None or (login.refresh_token == login.refresh_token.strip() != "")


def test_its_tokens_are_not_shown() -> None:
    assert "s3cret" not in repr(LoginFile(refresh_token="s3cret-1", access_token="s3cret-2"))


def test_expiry() -> None:
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
def test_any_token_has_an_expiry_or_none(text: str, now: float) -> None:
    expiry = jwt_expiry(text)
    assert expiry is None or isinstance(expiry, float)
    if is_fresh(text, now):
        assert expiry is not None
        assert now + LEEWAY < expiry < float("inf")


def test_the_refresh_goes_without_a_key_and_in_the_body() -> None:
    request = refresh_request(Hosts(), LoginFile(refresh_token="s3cret&x=1"))
    assert (request.method, request.url, request.auth) == ("POST", "https://auth.fal.ai/oauth/token", False)
    assert isinstance(request.body, bytes)
    form = parse_qs(request.body.decode())
    assert (form["grant_type"], form["refresh_token"]) == (["refresh_token"], ["s3cret&x=1"])
    assert "s3cret" not in repr(request)


@given(st.binary() | st.builds(lambda value: json.dumps(value).encode(), json_values))
@example(b'{"access_token": ""}')
@example(b'{"access_token": 7}')
def test_an_answer_without_a_token_is_a_decode_error(body: bytes) -> None:
    try:
        found = access_token_of(HttpResponse(status=200, headers={}, body=body))
    except FalError as error:
        assert isinstance(error, ResponseDecodeError)  # noqa: PT017
        return
    assert found == json.loads(body)["access_token"]


def test_the_token_of_an_answer() -> None:
    assert access_token_of(HttpResponse(status=200, headers={}, body=b'{"access_token": "t"}')) == "t"
