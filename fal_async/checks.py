"""Checks of arguments, in one wording."""

from __future__ import annotations

import sys
from typing import Any

import attrs

from fal_async.errors import ConfigurationError


def is_seconds(value: object) -> bool:
    """Whether it is a finite number above 0, and no bool."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value <= sys.float_info.max  # type: ignore[operator]


def positive(_: Any, attribute: attrs.Attribute[Any], value: object) -> None:
    if not is_seconds(value):
        raise ConfigurationError(f"{attribute.name}={value!r}: expected a positive number of seconds")


def positive_or_none(_: Any, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not is_seconds(value):
        raise ConfigurationError(
            f"{attribute.name}={value!r}: expected a positive number of seconds, or None"
        )


def check_timeout(timeout: float | None) -> None:
    """ConfigurationError where `timeout` is no positive number of seconds."""
    if timeout is not None and not is_seconds(timeout):
        raise ConfigurationError(f"timeout={timeout!r}: expected a positive number of seconds, or None")


def flag(_: Any, attribute: attrs.Attribute[bool], value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{attribute.name}={value!r}: expected True or False")


def plain_function_or_none(_: Any, attribute: attrs.Attribute[Any], value: object) -> None:
    check_function(attribute.name, value)
    if value is None:
        return
    import inspect  # seldom needed, and dear beside what `import fal_async` costs

    if inspect.iscoroutinefunction(value):
        raise ConfigurationError(f"{attribute.name} is a coroutine function, but it is not awaited: use def")


def check_function(name: str, value: object) -> None:
    """ConfigurationError where it can't be called: told before a paid request is made, not after it."""
    if value is not None and not callable(value):
        raise ConfigurationError(f"{name} is a {type(value).__name__}: expected a function")


def at_least_one(_: Any, attribute: attrs.Attribute[int], value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"{attribute.name}={value!r}: expected a whole number from 1 on")
