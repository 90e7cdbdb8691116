"""The values that fields of a fault may have, and checks of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from fal_async.emulator.wire.routing import OPERATIONS

ANY = "any"
ON = (ANY, *OPERATIONS)
"""Values of `on`; "any" matches all the others."""
WHERE = ("headers", "body")
CUTS = ("event", "character", "clean")
"""Where a stream breaks off: in an event, in a character, or in an event while the body ends normally."""
WHEN = frozenset({"on", "endpoint_id", "times", "after", "chance"})
"""The fields that select the calls of a fault: those of every kind."""
REDIRECTS = (301, 302, 303, 307, 308)


def one_of(allowed: Iterable[str]) -> Any:
    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{attribute.name}={value!r}: expected one of {', '.join(allowed)}")

    return check


def is_a(*types: type | None) -> Any:
    """Accept values of these types, None among them if given; a bool is not accepted as a number."""
    wanted = tuple(type(None) if kind is None else kind for kind in types)
    names = " or ".join("None" if kind is None else kind.__name__ for kind in types)

    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise ValueError(f"{attribute.name}={value!r}: expected {names}")

    return check


def at_least(low: float) -> Any:
    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not None and not (math.isfinite(value) and value >= low):
            raise ValueError(f"{attribute.name}={value!r}: expected a number >= {low}")

    return check


def texts(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError(f"{attribute.name}: expected a dict of header names and str values")


def to_names(names: Any) -> Any:
    if isinstance(names, str):
        return (names,)
    return tuple(names) if isinstance(names, Iterable) else names


def needed(effect: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Raise ValueError if a field is missing that the kind cannot do without."""
    if not value:
        raise ValueError(f"{effect.kind!r} needs {attribute.name!r}")


def http_status(_: Any, __: attrs.Attribute[Any], value: int | None) -> None:
    if value is None or not 200 <= value <= 599:
        raise ValueError(f"status={value!r}: expected an HTTP status from 200 to 599")


def redirect_status(_: Any, __: attrs.Attribute[Any], value: int | None) -> None:
    if value not in REDIRECTS:
        raise ValueError(
            f"status={value!r}: expected the HTTP status of a redirect, one of {', '.join(map(str, REDIRECTS))}"
        )
