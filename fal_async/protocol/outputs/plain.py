"""Building plain types from JSON, without converting one kind of value to another."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from fal_async.errors import one_line
from fal_async.protocol.outputs.forms import TEXTS, choices, json_kinds, kind_of, name_of, plain_choice

Build = Callable[[Any], Any]


def misfit(expected: str, value: Any) -> ValueError:
    """Return the error for a value of another kind than expected."""
    return ValueError(f"expected {expected}, got {kind_of(value)}")


def as_it_is(_: Any) -> Build:
    return lambda value: value


def null(_: Any) -> Build:
    def made(value: Any) -> None:
        if value is not None:
            raise misfit("null", value)

    return made


def plain(into: Any) -> Build:
    (kind,) = json_kinds(into)
    whole = issubclass(into, int)

    def made(value: Any) -> Any:
        if kind_of(value) != kind:
            raise misfit(name_of(into), value)
        # 5.0 counts as an int, because some JSON writers write ints so; 5.5 does not.
        if whole and isinstance(value, float) and not value.is_integer():
            raise ValueError(f"expected {name_of(into)}, got {value!r}")
        return value if type(value) is into else into(value)

    return made


def from_text(into: Any) -> Build:
    read = TEXTS[into]

    def made(value: Any) -> Any:
        if not isinstance(value, str):
            raise misfit(f"{name_of(into)} as a string", value)
        return read(value)

    return made


def decimal(_: Any) -> Build:
    def made(value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise misfit("Decimal as a number or a string", value)
        try:
            return Decimal(repr(value) if isinstance(value, float) else value)
        except InvalidOperation:
            raise ValueError(f"expected Decimal, got {one_line(repr(value), 40)}") from None

    return made


def choice(into: Any) -> Build:
    options = choices(into)
    shown = one_line(", ".join(repr(plain_choice(option)) for option in options), 100)
    has_more = isinstance(into, type) and "array" in json_kinds(into)

    def made(value: Any) -> Any:
        for option in options:
            plain = plain_choice(option)
            if kind_of(plain) == kind_of(value) and plain == value:
                return option
        if has_more:
            return into(value)
        raise ValueError(f"expected one of {shown}, got {one_line(repr(value), 40)}")

    return made
