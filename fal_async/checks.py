"""Checks of arguments before any request is sent. All modules use them, so that the messages have the same wording.

`check_...(name, value)` raises ConfigurationError, whose message has the name, the value and what was expected.
`or_none=True` accepts None.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import attrs

from fal_async.errors import ConfigurationError
from fal_async.errors.redaction import one_line

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def checked(check: Callable[..., None], **limits: Any) -> Validator:
    """Return an attrs validator that calls `check` with the attribute's name."""

    def validate(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        check(attribute.name, value, **limits)

    return validate


def check_int(
    name: str, value: object, *, least: int, most: int | None = None, or_none: bool = False
) -> None:
    """Require an int, not a bool, of at least `least` and at most `most`."""
    if value is None and or_none:
        return
    number = isinstance(value, int) and not isinstance(value, bool)
    if not number or value < least or (most is not None and value > most):  # type: ignore[operator]
        _refuse(
            name, value, f"an int >= {least}" if most is None else f"an int from {least} to {most}", or_none
        )


def is_seconds(value: object) -> bool:
    """Return whether `value` is a finite number > 0, and not a bool."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value <= sys.float_info.max  # type: ignore[operator]


def check_seconds(name: str, value: object, *, or_none: bool = False) -> None:
    """Require a finite number > 0."""
    if not is_seconds(value) and not (value is None and or_none):
        _refuse(name, value, "a positive number of seconds", or_none)


def check_flag(name: str, value: object, *, or_none: bool = False) -> None:
    """Require a bool."""
    if not isinstance(value, bool) and not (value is None and or_none):
        _refuse(name, value, "True, False" if or_none else "True or False", or_none)


def check_word(name: str, value: object, *, words: Sequence[str], or_none: bool = False) -> None:
    """Require one of these words."""
    if not (isinstance(value, str) and value in words) and not (value is None and or_none):
        listed = [repr(word) for word in words]
        separator = ", " if or_none else " or "
        _refuse(name, value, f"{', '.join(listed[:-1])}{separator}{listed[-1]}", or_none)


def _refuse(name: str, value: object, expected: str, or_none: bool) -> NoReturn:
    shown = one_line(
        repr(value), 80
    )  # a message is cut at 200 characters, and what is expected stands at its end
    raise ConfigurationError(f"{name}={shown}: expected {expected}{', or None' if or_none else ''}")


# The messages of the following checks have only the type of the value, because the value may be long or secret.


def check_str(name: str, value: object, *, such_as: str = "", or_none: bool = False) -> None:
    """Require a str. `such_as`: an example for the message."""
    if not isinstance(value, str) and not (value is None and or_none):
        example = f" such as {such_as!r}" if such_as else ""
        raise ConfigurationError(f"{name} is of type {type(value).__name__}: expected str{example}")


def check_function(name: str, value: object, *, takes: Sequence[str]) -> None:
    """Require None, or a function that accepts as many arguments as `takes` has names. The message has the names.

    A callback is checked before a paid request is sent, because it is called only after the request was billed.
    """
    if value is None:
        return
    if not callable(value):
        raise ConfigurationError(f"{name} is of type {type(value).__name__}: expected a function")
    try:
        with contextlib.suppress(ValueError):  # some functions written in C have no signature
            inspect.signature(value).bind(*takes)
    except TypeError as error:
        raise ConfigurationError(
            f"{name} is called with ({', '.join(takes)}), which {_function_name(value)} does not take: {error}"
        ) from None


def _function_name(function: object) -> str:
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


def check_plain_function(name: str, value: object, *, takes: Sequence[str]) -> None:
    """Require None, or a function that is not async, because its result is not awaited."""
    check_function(name, value, takes=takes)
    if inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(type(value).__call__):
        raise ConfigurationError(f"{name} is a coroutine function, but it is not awaited: use def")


def check_kind(name: str, value: object, *, kind: type, or_none: bool = False) -> None:
    """Require an instance of `kind`, a class of this package."""
    if not isinstance(value, kind) and not (value is None and or_none):
        raise ConfigurationError(f"{name} is of type {type(value).__name__}: expected {kind.__name__}(...)")
