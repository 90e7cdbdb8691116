"""Checks of arguments: what passes, what does not, and what the error says."""

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
def test_what_is_no_int_from_one_on_is_refused(value: Any) -> None:
    with refused(f"part_size={value!r}: expected an int >= 1"):
        check_int("part_size", value, least=1)
    check_int("part_size", 1, least=1)


def test_an_int_above_the_upper_limit_is_refused() -> None:
    with refused("max_buffering=61: expected an int from 1 to 60, or None"):
        check_int("max_buffering", 61, least=1, most=60, or_none=True)
    check_int("max_buffering", 60, least=1, most=60, or_none=True)
    check_int("max_buffering", None, least=1, most=60, or_none=True)


@pytest.mark.parametrize("value", NO_SECONDS)
def test_what_is_no_positive_number_of_seconds_is_refused(value: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"timeout=.*: expected a positive number of seconds, or None"
    ):
        check_seconds("timeout", value, or_none=True)
    with pytest.raises(ConfigurationError, match="timeout="):
        check_seconds("timeout", 10**400)
    check_seconds("timeout", None, or_none=True)
    check_seconds("timeout", 0.001, or_none=True)


def test_none_passes_only_where_it_may() -> None:
    with refused("delay=None: expected a positive number of seconds"):
        check_seconds("delay", None)
    with refused("store_io=None: expected True or False"):
        check_flag("store_io", None)
    with refused("retry is a NoneType: expected RetryPolicy\\(...\\)"):
        check_kind("retry", None, kind=RetryPolicy)


def test_what_is_no_flag_is_refused() -> None:
    with refused("store_io=0: expected True, False, or None"):
        check_flag("store_io", 0, or_none=True)
    check_flag("store_io", False)


def test_long_and_secret_values_are_named_by_their_type() -> None:
    with refused("file_name is a bytes: expected str such as 'cat.png'"):
        check_str("file_name", b"secret", such_as="cat.png")
    with refused("on_enqueue is a int: expected a function"):
        check_function("on_enqueue", 5, takes=("request_id",))


class AsyncObject:
    async def __call__(self, value: object) -> None: ...


def test_an_async_function_is_refused_where_nobody_awaits_it() -> None:
    async def later(_: object) -> None: ...

    with refused("on_retry is a coroutine function, but it is not awaited: use def"):
        check_plain_function("on_retry", later, takes=("retry",))
    check_plain_function("on_retry", print, takes=("retry",))
    with refused("on_retry is a coroutine function, but it is not awaited: use def"):
        check_plain_function("on_retry", AsyncObject(), takes=("retry",))
    check_plain_function("on_retry", None, takes=("retry",))


class Callbacks:
    """What takes one value, and what does not."""

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
    min,  # tells no signature
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
    Callbacks.bound,  # of the class: `self` is missing
    partial(Callbacks().bound, 1),
    lambda: None,
    object,
    Callbacks.seen.clear,
]


@pytest.mark.parametrize("function", TAKES_ONE)
def test_a_callback_that_takes_what_it_is_called_with_passes(function: object) -> None:
    check_function("on_enqueue", function, takes=("request_id",))


@pytest.mark.parametrize("function", TAKES_ANOTHER_NUMBER)
def test_a_callback_of_another_number_of_values_is_refused(function: object) -> None:
    with refused(r"on_enqueue is called with \(request_id\), which .+ does not take: .+"):
        check_function("on_enqueue", function, takes=("request_id",))


def test_a_callback_is_named_with_what_is_wrong() -> None:
    words = r"on_progress is called with \(sent, total\), which Callbacks.bound does not take: too many .+"
    with refused(words):
        check_function("on_progress", Callbacks().bound, takes=("sent", "total"))


def test_a_check_serves_as_the_validator_of_an_attribute() -> None:
    @attrs.frozen
    class Size:
        bytes: int = attrs.field(validator=checked(check_int, least=1))

    with refused("bytes=0: expected an int >= 1"):
        Size(0)
    assert Size(1).bytes == 1
