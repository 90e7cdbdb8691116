"""Keys in FAL_KEY or `credentials=`: harmless mistakes are corrected, others refused before anything is sent."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fal_async.auth.key_text import authorization
from fal_async.environment import from_env
from fal_async.errors import ConfigurationError

KEY = "0b1c2d3e-0000-4000-8000-123456789abc:0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("given_key", "header"),
    [
        (KEY, f"Key {KEY}"),
        (f" {KEY}\n", f"Key {KEY}"),
        (f"\ufeff{KEY}\r\n", f"Key {KEY}"),
        (f"Key {KEY}", f"Key {KEY}"),
        (f'"{KEY}"', f"Key {KEY}"),
        (f"'{KEY}'\n", f"Key {KEY}"),
        (f"\"' {KEY} '\"", f"Key {KEY}"),
        (f'"Key {KEY}"', f"Key {KEY}"),
        ("Bearer abc.def.ghi", "Bearer abc.def.ghi"),
        ("emulator:key", "Key emulator:key"),
        ("Key a:b:c", "Key a:b:c"),
    ],
)
def test_quotes_and_white_space_around_a_key_are_removed(given_key: str, header: str) -> None:
    assert authorization(given_key) == header


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("", "empty"),
        (" ", "empty"),
        ('""', "empty"),
        ("s3cret", "no colon"),
        (":s3cret", "no colon"),
        ("s3cret:", "no colon"),
        ("s3cret:\ts", "characters"),
        ("s3cret: x", "characters"),
        ("s3cret:ä", "characters"),
        ("s3cret:\x00", "characters"),
        ("s3cret:a\u200bb", "characters"),
        ("“s3cret:x”", "characters"),
        ("s3cret:x'", "characters"),
        ("key s3cret:x", "characters"),
        ("Key s3cret:x y", "characters"),
        ("Bearer s3cret\nX-Evil: 1", "characters"),
        ("FAL_KEY=id:s3cret", "variable's name"),
        ('export FAL_KEY="id:s3cret"', "variable's name"),
        ("'FAL_KEY=id:s3cret'", "variable's name"),
        ("fal_key: id:s3cret", "variable's name"),
        ("FAL_AI_KEY=id:s3cret", "variable's name"),
        ("id:FAL_KEY_SECRET=s3cret", "variable's name"),
        ("your-key", "placeholder"),
        ("YOUR_FAL_KEY", "placeholder"),
        ("your_key_id:your_key_secret", "placeholder"),
        ("<key_id>:<key_secret>", "placeholder"),
        ("${FAL_KEY}", "placeholder"),
        ("$FAL_KEY", "placeholder"),
        ("key_id:key_secret", "placeholder"),
        ("xxxx:xxxx", "placeholder"),
        ("...", "placeholder"),
        ("id:id:s3cret", "more than one colon"),
    ],
)
def test_a_malformed_key_is_refused_with_the_reason_and_not_shown(wrong: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        authorization(wrong)
    assert "expected key_id:key_secret" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("wrong", [None, 7, b"a:b", ["a:b"]])
def test_a_key_that_is_not_a_str_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected str 'key_id:key_secret'"):
        authorization(wrong)


@given(st.text() | st.text(alphabet="aB:0 \r\n\t\"'"))
@example("Bearer a\u2028b")
@example("Key \u00a0")
def test_any_string_as_a_key_becomes_a_header_or_raises_configuration_error(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        header = authorization(text)
        assert header.isascii()
        assert header.isprintable()
        assert len(header.split(" ")) == 2
        assert authorization(header) == header


def test_a_whole_key_in_fal_key_secret_is_refused_with_a_hint() -> None:
    key = from_env({"FAL_KEY_ID": "kid", "FAL_KEY_SECRET": "kid:s3cret"}).key
    with pytest.raises(ConfigurationError, match="a whole key in FAL_KEY_SECRET belongs in FAL_KEY"):
        authorization(str(key))


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quoted_parts_of_a_key_are_joined_without_their_quotes(quote: str) -> None:
    parts = {"FAL_KEY_ID": f"{quote}kid{quote}", "FAL_KEY_SECRET": f"{quote}s3cret{quote}"}
    assert authorization(str(from_env(parts).key)) == "Key kid:s3cret"
