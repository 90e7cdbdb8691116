"""What a fault may say: its kinds, its words, and the checks of its fields."""

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
KINDS: Mapping[str, frozenset[str]] = {
    "refuse": frozenset({"seconds"}),
    "reset": frozenset({"taken", "events"}),
    "close": frozenset({"taken", "events"}),
    "stall": frozenset({"taken", "seconds", "where", "events"}),
    "drip": frozenset({"seconds"}),
    "truncate": frozenset({"events", "cut"}),
    "wrong_json": frozenset({"body", "events"}),
    "html": frozenset({"taken", "status"}),
    "content_type": frozenset({"body"}),
    "answer": frozenset(
        {
            "taken",
            "status",
            "retry_after",
            "fal_headers",
            "detail",
            "error_type",
            "needs_retry",
            "headers",
            "body",
        }
    ),
    "balance": frozenset({"taken"}),
    "vanish": frozenset({"taken"}),
    "redirect": frozenset({"taken", "status", "url"}),
    "missing": frozenset({"names"}),
    "replace": frozenset({"fields"}),
    "word": frozenset({"body"}),
    "back": frozenset({"position"}),
    "duplicate": frozenset(),
    "foreign_urls": frozenset({"url"}),
    "event": frozenset({"body", "event_type", "events"}),
    "frame": frozenset({"body", "binary", "events"}),
    "ws_close": frozenset({"code", "body", "events"}),
}
"""Each kind with the fields that mean something to it, besides when it strikes."""
WHEN = frozenset({"kind", "on", "endpoint_id", "times", "after", "chance"})
NEEDS = {
    "redirect": "url",
    "foreign_urls": "url",
    "word": "body",
    "content_type": "body",
    "frame": "body",
    "ws_close": "code",
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "stall": {"taken": True},
    "html": {"status": 502},
    "redirect": {"status": 307},
}
"""Where a kind's default is not the field's: what the constructors of `Fault` say too."""


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


def check_sense(kind: str, given: Mapping[str, Any]) -> None:
    """ValueError for a field that means nothing to this kind, or one that it can't do without."""
    meaningful = KINDS[kind] | WHEN
    if senseless := sorted(given.keys() - meaningful):
        raise ValueError(f"{kind!r} takes no {senseless[0]!r}: it takes {', '.join(sorted(meaningful))}")
    if (needed := NEEDS.get(kind)) is not None and not given.get(needed):
        raise ValueError(f"{kind!r} needs {needed!r}")
    status = given.get("status")
    if kind in ("answer", "redirect", "html") and (status is None or not 200 <= status <= 599):
        raise ValueError(f"status={status!r}: expected an HTTP status from 200 to 599")
