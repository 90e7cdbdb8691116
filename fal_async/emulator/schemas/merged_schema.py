"""Schemas without `$ref`, `allOf`, `anyOf` and `oneOf`, for which a value can be made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fal_async.emulator.schemas.normal_schema import is_null, resolved

_MAX_DEPTH = 60
"""How often a schema may lead to another one for the same value."""
_MAX_STEPS = 5_000
"""Schemas that are merged for one value with all values within it: `allOf` can ask for billions."""
_NARROWER: Mapping[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
    "required": lambda one, other: [*one, *other],
    "enum": lambda one, other: [value for value in one if value in other],
    "properties": lambda one, other: {
        **one,
        **{name: {"allOf": [one[name], part]} if name in one else part for name, part in other.items()},
    },
}
"""What two schemas together ask for, by keyword. Of other keywords, the second one counts."""


class Merger:
    """Merges the parts of one normal schema."""

    def __init__(self, root: Mapping[str, Any], alternative: int) -> None:
        """Store the schema, and the number of the alternative that each union stands for."""
        self._root, self._alternative = root, alternative
        self._steps = 0

    def merged(self, schema: Any, depth: int = 0) -> dict[str, Any]:
        """Return a schema that every value fits only if it fits `schema`. Raise RecursionError if there is none."""
        self._steps += 1
        if depth > _MAX_DEPTH or self._steps > _MAX_STEPS:
            raise RecursionError
        whole = resolved(self._root, schema)
        parts = list(whole.pop("allOf", ()))
        for word in ("anyOf", "oneOf"):
            if alternatives := whole.pop(word, None):
                others = [one for one in alternatives if not is_null(one)] or alternatives
                parts.append(others[self._alternative % len(others)])
        for part in parts:
            whole = _both(self.merged(part, depth + 1), whole)
        return whole


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return one schema for two. The outer one is `other`, whose title and examples say more about the place."""
    shared = {
        name: _NARROWER[name](one[name], other[name]) for name in _NARROWER if name in one and name in other
    }
    return {**one, **other, **shared}
