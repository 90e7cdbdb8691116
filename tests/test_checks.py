"""Checks of arguments: what they accept, what they refuse, and their messages."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import Any, ClassVar

import attrs
import pytest

from fal_async.checks import (
    check_flag,
    check_function,
    check_int,
    check_kind,
    check_plain_function,
    check_seconds,
    check_str,
    checked,
)
from fal_async.config import RetryPolicy
from fal_async.errors import ConfigurationError

NO_SECONDS: list[Any] = [0, -1, math.nan, math.inf, "5", True, [1]]


def refused(expected: str) -> Any:
    return pytest.raises(ConfigurationError, match=f"^{expected}$")


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "10", None])
def test_check_int_refuses_what_is_not_an_int_of_at_least_one(value: Any) -> None:
    with refused(f"part_size={value!r}: expected an int >= 1"):
        check_int("part_size", value, least=1)
    check_int("part_size", 1, least=1)


def test_the_expectation_stands_in_the_message_of_a_value_of_any_length() -> None:
    with pytest.raises(ConfigurationError, match=r"^part_size='ab ab .*\.\.\.: expected an int >= 1$"):
        check_int("part_size", "ab " * 90, least=1)


def test_check_int_refuses_an_int_above_the_upper_limit() -> None:
    with refused("max_buffering=61: expected an int from 1 to 60, or None"):
        check_int("max_buffering", 61, least=1, most=60, or_none=True)
    check_int("max_buffering", 60, least=1, most=60, or_none=True)
    check_int("max_buffering", None, least=1, most=60, or_none=True)


@pytest.mark.parametrize("value", NO_SECONDS)
def test_check_seconds_refuses_what_is_not_a_positive_number(value: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"timeout=.*: expected a positive number of seconds, or None"
    ):
        check_seconds("timeout", value, or_none=True)
    with pytest.raises(ConfigurationError, match="timeout="):
        check_seconds("timeout", 10**400)
    check_seconds("timeout", None, or_none=True)
    check_seconds("timeout", 0.001, or_none=True)


def test_checks_refuse_none_without_or_none() -> None:
    with refused("delay=None: expected a positive number of seconds"):
        check_seconds("delay", None)
    with refused("store_io=None: expected True or False"):
        check_flag("store_io", None)
    with refused("retry is of type NoneType: expected RetryPolicy\\(...\\)"):
        check_kind("retry", None, kind=RetryPolicy)


def test_check_flag_refuses_what_is_not_a_bool() -> None:
    with refused("store_io=0: expected True, False, or None"):
        check_flag("store_io", 0, or_none=True)
    check_flag("store_io", False)


def test_messages_about_long_or_secret_values_name_only_their_type() -> None:
    with refused("file_name is of type bytes: expected str such as 'cat.png'"):
        check_str("file_name", b"secret", such_as="cat.png")
    with refused("on_enqueue is of type int: expected a function"):
        check_function("on_enqueue", 5, takes=("request_id",))


class AsyncObject:
    async def __call__(self, value: object) -> None: ...


def test_check_plain_function_refuses_an_async_function() -> None:
    async def later(_: object) -> None: ...

    with refused("on_retry is a coroutine function, but it is not awaited: use def"):
        check_plain_function("on_retry", later, takes=("retry",))
    check_plain_function("on_retry", print, takes=("retry",))
    with refused("on_retry is a coroutine function, but it is not awaited: use def"):
        check_plain_function("on_retry", AsyncObject(), takes=("retry",))
    check_plain_function("on_retry", None, takes=("retry",))


class Callbacks:
    """Callables that accept one value, and others that do not."""

    seen: ClassVar[list[object]] = []

    def __init__(self, value: object = None) -> None:
        self.value = value

    def __call__(self, value: object) -> None: ...
    def bound(self, value: object) -> None: ...
    async def later(self, value: object, more: int = 0) -> None: ...
    def without(self) -> None: ...
    async def without_later(self) -> None: ...
    def two(self, value: object, other: object) -> None: ...
    def named(self, *, value: object) -> None: ...


TAKES_ONE: list[object] = [
    print,
    Callbacks.seen.append,
    len,
    min,  # has no signature
    dict,
    type,
    Callbacks,
    Callbacks(),
    Callbacks().bound,
    Callbacks().later,
    partial(Callbacks().two, 1),
    lambda *_: None,
    asyncio.Queue.put_nowait.__get__(object()),
]
TAKES_ANOTHER_NUMBER: list[object] = [
    Callbacks().without,
    Callbacks().without_later,
    Callbacks().two,
    Callbacks().named,
    Callbacks.bound,  # a function of the class: `self` is missing
    partial(Callbacks().bound, 1),
    lambda: None,
    object,
    Callbacks.seen.clear,
]


def name_of(function: object) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))


@pytest.mark.parametrize("function", TAKES_ONE, ids=name_of)
def test_a_callback_with_the_right_number_of_parameters_is_accepted(function: object) -> None:
    check_function("on_enqueue", function, takes=("request_id",))


@pytest.mark.parametrize("function", TAKES_ANOTHER_NUMBER, ids=name_of)
def test_a_callback_with_a_wrong_number_of_parameters_is_refused(function: object) -> None:
    with refused(r"on_enqueue is called with \(request_id\), which .+ does not take: .+"):
        check_function("on_enqueue", function, takes=("request_id",))


def test_the_message_about_a_callback_names_it_and_what_is_wrong() -> None:
    words = r"on_progress is called with \(sent, total\), which Callbacks.bound does not take: too many .+"
    with refused(words):
        check_function("on_progress", Callbacks().bound, takes=("sent", "total"))


def test_a_check_works_as_the_validator_of_an_attrs_field() -> None:
    @attrs.frozen
    class Size:
        bytes: int = attrs.field(validator=checked(check_int, least=1))

    with refused("bytes=0: expected an int >= 1"):
        Size(0)
    assert Size(1).bytes == 1
