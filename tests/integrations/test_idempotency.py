"""Keys of calls from the header `Idempotency-Key`: what is refused, and that users never share a key."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import aiohttp
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse
from starlette.routing import Route

from fal_async.errors import ConfigurationError
from fal_async.integrations import fastapi as for_fastapi
from fal_async.integrations import starlette as for_starlette
from fal_async.integrations.idempotency import (
    BadIdempotencyKey,
    read_header,
    scope_text,
    scoped_key,
)
from fal_async.protocol.ledger.key_checks import check_key
from tests.servers.serving import serving

VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255)
SCOPES = st.text("ab:%", min_size=1, max_size=4) | st.uuids() | st.integers()


@given(scope=SCOPES, value=VALUES)
def test_every_scope_and_header_value_make_a_valid_key(scope: Any, value: str) -> None:
    assert check_key(scoped_key(scope, value)).startswith(f"{scope_text(scope)}:")


@given(one=st.tuples(SCOPES, VALUES), other=st.tuples(SCOPES, VALUES))
def test_different_scopes_or_values_never_make_the_same_key(
    one: tuple[Any, str], other: tuple[Any, str]
) -> None:
    same = (str(one[0]), one[1]) == (str(other[0]), other[1])
    assert (scoped_key(*one) == scoped_key(*other)) is same


def test_a_user_id_with_a_colon_cannot_collide_with_another_users_key() -> None:
    assert scoped_key("a:b", "c") == "a%3Ab:c" != scoped_key("a", "b:c") == "a:b:c"


def test_a_value_that_would_make_an_invalid_key_is_replaced_by_its_digest() -> None:
    user, value = str(uuid.UUID(int=1)), "0" * 32  # joined, they look like a fal API key
    assert scoped_key(user, value).startswith(f"{user}:sha256-")
    long = scoped_key("anna", "k" * 255)
    assert long.startswith("anna:sha256-")
    assert long == scoped_key("anna", "k" * 255) != scoped_key("anna", "k" * 254)
    assert scoped_key("anna", "k" * 250) == "anna:" + "k" * 250


@pytest.mark.parametrize("value", ["", " ", "k" * 256, "tab\there", "schl\xfcssel", "nul\x00"])
def test_an_idempotency_key_of_wrong_characters_or_length_is_refused(value: str) -> None:
    with pytest.raises(BadIdempotencyKey, match="1 to 255 printable"):
        read_header([value], required=False)


def test_an_idempotency_key_that_is_missing_or_sent_twice_is_refused() -> None:
    assert read_header([], required=False) is None
    with pytest.raises(BadIdempotencyKey, match="missing"):
        read_header([], required=True)
    with pytest.raises(BadIdempotencyKey, match="2 times"):
        read_header(["a", "b"], required=True)
    assert read_header([" a b "], required=True) == "a b"


@pytest.mark.parametrize("scope", [None, "", True, 1.5, b"anna", "a\nb", "a" * 129])
def test_a_scope_that_cannot_identify_a_user_is_refused(scope: Any) -> None:
    with pytest.raises(ConfigurationError, match="scope"):
        scoped_key(scope, "k")
    for made in (for_fastapi.idempotency_key, for_starlette.idempotency_key):
        if isinstance(scope, str):
            with pytest.raises(ConfigurationError, match="scope"):
                made(scope=scope)


def signed_in(request: StarletteRequest) -> str:
    return request.headers["X-User"]


async def signed_in_later(request: StarletteRequest) -> int:
    return int(request.headers["X-User"])


@asynccontextmanager
async def starlette_app() -> AsyncIterator[str]:
    keys = {
        "/function": for_starlette.idempotency_key(scope=signed_in),
        "/async": for_starlette.idempotency_key(scope=signed_in_later),
        "/text": for_starlette.idempotency_key(scope="orders"),
        "/optional": for_starlette.idempotency_key(scope=signed_in, required=False),
    }

    async def handler(request: StarletteRequest) -> JSONResponse:
        return JSONResponse(await keys[request.url.path](request))

    app = Starlette(routes=[Route(path, handler, methods=["POST"]) for path in keys])
    async with serving(app) as server:
        yield server.url


def user_of(request: Request) -> str:
    """A dependency that refuses callers who are not signed in."""
    user = request.headers.get("X-User")
    if user is None:
        raise HTTPException(401, "sign in")
    return user


made = for_fastapi.idempotency_key
UserKey = Annotated[str, Depends(made(scope=user_of))]
LaterKey = Annotated[str, Depends(made(scope=lambda request: signed_in_later(request)))]
OptionalKey = Annotated[str | None, Depends(made(scope=user_of, required=False))]


@asynccontextmanager
async def fastapi_app() -> AsyncIterator[str]:
    app = FastAPI()

    @app.post("/function")
    async def function(key: UserKey) -> str:
        return key

    @app.post("/async")
    async def later(key: LaterKey) -> str:
        return key

    @app.post("/text")
    async def text(key: str = Depends(made(scope="orders"))) -> str:
        return key

    @app.post("/optional")
    async def optional(key: OptionalKey) -> str | None:
        return key

    async with serving(app) as server:
        yield server.url


@pytest.mark.parametrize("application", [starlette_app, fastapi_app])
async def test_idempotency_key_makes_the_key_from_the_header_and_the_scope(
    http: aiohttp.ClientSession, application: Any
) -> None:
    async with application() as url:

        async def post(path: str, **headers: str) -> tuple[int, Any]:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            async with http.post(url + path, headers=named) as answer:
                is_json = answer.content_type == "application/json"
                return answer.status, await (answer.json() if is_json else answer.text())

        assert await post("/function", X_User="anna", Idempotency_Key="k-1") == (200, "anna:k-1")
        assert await post("/async", X_User="7", Idempotency_Key="k-1") == (200, "7:k-1")
        assert await post("/text", Idempotency_Key="k-1") == (200, "orders:k-1")
        assert await post("/optional", X_User="anna") == (200, None)
        for refused in ({}, {"Idempotency_Key": "k" * 256}, {"Idempotency_Key": "\xfc"}):
            status, said = await post("/function", X_User="anna", **refused)
            assert status == 400
            assert "Idempotency-Key" in str(said)


async def test_openapi_shows_the_header_and_a_refusing_scope_is_answered_with_401(
    http: aiohttp.ClientSession,
) -> None:
    async with fastapi_app() as url:
        async with http.get(f"{url}/openapi.json") as answer:
            (shown,) = (await answer.json())["paths"]["/function"]["post"]["parameters"]
        assert (shown["name"], shown["in"]) == ("Idempotency-Key", "header")
        assert (shown["schema"]["minLength"], shown["schema"]["maxLength"]) == (1, 255)
        assert "billed once" in shown["description"]
        async with http.post(f"{url}/function", headers={"Idempotency-Key": "k"}) as answer:
            assert answer.status == 401
