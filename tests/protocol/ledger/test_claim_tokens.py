"""Tokens of claims in webhook URLs: the caller's URL stays, and the token is found again."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async import ConfigurationError
from fal_async.protocol.ledger.claim_tokens import ClaimToken, Purpose, token_in, url_with_token

TOKEN = "AbCdEfGh-_1234567890xy"
purposes: st.SearchStrategy[Purpose] = st.sampled_from(["wait", "event"])
tokens = st.builds(ClaimToken, text=st.from_regex(r"[A-Za-z0-9_-]{22}", fullmatch=True), purpose=purposes)
pieces = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="#&=?/"), min_size=1, max_size=8
)
queries = st.lists(st.tuples(pieces, pieces), max_size=4).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)


@given(token=tokens, query=queries, ending=st.sampled_from(["", "?", "&", "?&"]), fragment=pieces)
def test_a_url_keeps_its_own_query_and_fragment_and_its_token_is_read_again(
    token: ClaimToken, query: str, ending: str, fragment: str
) -> None:
    for url in (
        f"https://my.app/fal?{query}{ending.removeprefix('?')}",
        f"https://my.app/fal{ending.removesuffix('&')}",
        f"https://my.app/fal?{query}#{fragment}",
    ):
        before, after = urlsplit(url), urlsplit(url_with_token(url, token))
        assert token_in(after.query) == token
        assert (after.scheme, after.netloc, after.path) == (before.scheme, before.netloc, before.path)
        assert after.fragment == before.fragment
        assert parse_qsl(after.query)[:-1] == parse_qsl(before.query)


@given(query=st.text())
def test_a_query_without_a_token_has_none_whatever_it_contains(query: str) -> None:
    found = token_in(query)
    assert found is None or found.text in query


@pytest.mark.parametrize(
    "query",
    [
        *("", "?", "fal_wait=", "fal_wait=short", f"fal_wait={TOKEN}x", f"fal_wait={TOKEN}%20"),
        *(f"xfal_wait={TOKEN}", f"fal_other={TOKEN}", f"a=fal_wait={TOKEN}", f"fal_wait=={TOKEN[1:]}"),
    ],
)
def test_a_parameter_that_is_not_exactly_a_token_is_ignored(query: str) -> None:
    assert token_in(query) is None


def test_the_last_of_several_tokens_counts_as_it_is_the_one_that_was_added() -> None:
    url = url_with_token(f"https://my.app/?fal_event={'x' * 22}", ClaimToken(text=TOKEN, purpose="wait"))
    assert token_in(urlsplit(url).query) == ClaimToken(text=TOKEN, purpose="wait")
    assert token_in(f"?fal_event={TOKEN}&b=1") == ClaimToken(text=TOKEN, purpose="event")


def test_a_token_has_128_random_bits_and_is_not_in_its_repr() -> None:
    made = ClaimToken(text=secrets.token_urlsafe(16), purpose="wait")
    assert token_in(urlsplit(url_with_token("https://my.app", made)).query) == made
    assert made.text not in repr(made)


@pytest.mark.parametrize("query", [None, b"a=1", {"a": "1"}])
def test_a_query_of_another_type_is_refused_with_its_type(query: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"query is of type {type(query).__name__}: expected"):
        token_in(query)
