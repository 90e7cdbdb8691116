"""What the fields of a fault may say, and their checks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from fal_async.emulator.wire.routing import OPERATIONS

ANY = "any"
ON = (ANY, *OPERATIONS)
"""What `on` can name. "any" is each of the others."""
WHERE = ("headers", "body")
CUTS = ("event", "character", "clean")
"""Where a stream breaks off: inside an event, inside a character, or inside an event in a body that ends in
order, as far as HTTP knows."""
WHEN = frozenset({"kind", "on", "endpoint_id", "times", "after", "chance"})


def one_of(allowed: Iterable[str]) -> Any:
    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{attribute.name}={value!r}: expected one of {', '.join(allowed)}")

    return check


def is_a(*types: type | None) -> Any:
    """A value of one of these types (None: it may be absent). Truth values are no numbers."""
    wanted = tuple(type(None) if kind is None else kind for kind in types)
    names = " or ".join("None" if kind is None else kind.__name__ for kind in types)

    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise ValueError(f"{attribute.name}={value!r}: expected {names}")

    return check


def at_least(low: float) -> Any:
    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not None and not (math.isfinite(value) and value >= low):
            raise ValueError(f"{attribute.name}={value!r}: expected {low} or more")

    return check


def texts(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError(f"{attribute.name}: expected header names with their texts")


def to_names(names: Any) -> Any:
    if isinstance(names, str):
        return (names,)
    return tuple(names) if isinstance(names, Iterable) else names


def needed(effect: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    """A field that a kind can't do without."""
    if not value:
        raise ValueError(f"{effect.kind!r} needs {attribute.name!r}")


def http_status(_: Any, __: attrs.Attribute[Any], value: int | None) -> None:
    if value is None or not 200 <= value <= 599:
        raise ValueError(f"status={value!r}: expected an HTTP status from 200 to 599")
