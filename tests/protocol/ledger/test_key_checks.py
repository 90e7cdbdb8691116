"""Keys, runs and tenants: which are accepted, which are refused, and where they are unique."""

from __future__ import annotations

import enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.config import Hosts
from fal_async.errors import ConfigurationError
from fal_async.protocol.ledger.entry import Space
from fal_async.protocol.ledger.key_checks import (
    check_key,
    check_run,
    check_tenant,
    check_uncertain,
    space_of,
)

ID = "764cabcf-b745-4b3e-ae38-1200304cf45b"
SECRET = "0123456789abcdef0123456789abcdef"


class Order(enum.StrEnum):
    ONE = "order-1"


class OldOrder(str, enum.Enum):  # noqa: UP042 - its str() is not its value
    ONE = "order-1"


@pytest.mark.parametrize(
    "key",
    [
        "order-42",
        "a",
        "x" * 255,
        "größe 7",
        "猫",
        "👩‍👩‍👧",
        " a ",
        "\u00a0",
        f"{ID}:{ID}",
        f"user-{ID}:{SECRET}",
        ID,
    ],
)
def test_a_printable_str_is_accepted_as_a_key_unchanged(key: str) -> None:
    assert check_key(key) == check_run(key) == check_tenant(key) == key


@pytest.mark.parametrize("key", [Order.ONE, OldOrder.ONE])
def test_a_str_enum_member_as_a_key_is_converted_to_its_value(key: str) -> None:
    assert check_key(key) == "order-1"
    assert type(check_key(key)) is str


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (42, "key is of type int: expected str"),
        (None, "key is of type NoneType"),
        (b"order-42", "key is of type bytes"),
        (["a"], "key is of type list"),
        ("", "key has 0 characters: expected 1 to 255"),
        ("x" * 256, "key has 256 characters"),
        ("a\nb", r"U\+000A at index 1"),
        ("a\0", r"U\+0000"),
        ("\x7f", r"U\+007F"),
        ("a\u2028", r"U\+2028"),
        ("\ud83d", r"U\+D83D"),
    ],
)
def test_an_invalid_key_is_refused_with_the_reason(key: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_key(key)


@pytest.mark.parametrize("check", [check_run, check_tenant])
def test_a_run_and_a_tenant_may_be_empty_but_are_checked_like_a_key(check: Any) -> None:
    assert check("") == ""
    for wrong in (None, 1, "a\tb", "x" * 256, f"{ID}:{SECRET}"):
        with pytest.raises(ConfigurationError, match=check.__name__.removeprefix("check_")):
            check(wrong)


@pytest.mark.parametrize(
    "key",
    [
        f"{ID}:{SECRET}",
        f"{ID}:{SECRET}".upper(),
        f"Key {ID}:{SECRET}",
        f"Bearer {ID}:{SECRET}",
        f"FAL_KEY={ID}:{SECRET}",
        f"export FAL_KEY='{ID}:{SECRET}'",
        f' "{ID}:{SECRET}" ',
    ],
)
def test_a_fal_api_key_is_refused_and_never_shown(key: str) -> None:
    with pytest.raises(ConfigurationError, match="fal API key") as refused:
        check_key(key)
    assert SECRET not in repr(refused.value).lower()
    assert ID not in repr(refused.value).lower()


@given(st.text(max_size=300))
def test_any_str_is_accepted_unchanged_as_a_key_or_refused(text: str) -> None:
    try:
        key = check_key(text)
    except ConfigurationError:
        return
    assert key == text
    assert 1 <= len(key.encode().decode()) <= 255


def test_the_uncertain_option_accepts_only_its_three_words() -> None:
    for word in ("report", "lookup", "resubmit"):
        check_uncertain(word)
    for wrong in ("Lookup", "", None, True, 3, ["lookup"]):
        with pytest.raises(ConfigurationError, match="'report', 'lookup', 'resubmit'"):
            check_uncertain(wrong)


@pytest.mark.parametrize(
    ("queue", "origin"),
    [
        ("https://queue.fal.run", "https://queue.fal.run"),
        ("https://Queue.Fal.Run:443/base", "https://queue.fal.run"),
        ("http://127.0.0.1:8765/queue.fal.run", "http://127.0.0.1:8765"),
        ("http://localhost:80", "http://localhost"),
    ],
)
def test_the_namespace_of_keys_is_the_origin_of_the_queue(queue: str, origin: str) -> None:
    assert space_of(Hosts(queue=queue), tenant="acme", run="r") == Space(
        origin=origin, tenant="acme", run="r"
    )


def test_the_namespace_of_keys_behind_a_proxy_is_the_origin_of_the_proxy() -> None:
    assert space_of(Hosts(), proxy_url="https://MY.app:443/api/fal") == Space(origin="https://my.app")
