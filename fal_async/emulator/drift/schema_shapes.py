"""Comparison of a recorded result with the schema of the emulator's endpoint, by members and types alone.

jsonschema would also compare values, such as the limits of a number, and would accept members that the schema does
not have, which are what matters here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fal_async.emulator.drift.shapes import ABSENT, Difference, fewest, json_type, member
from fal_async.emulator.schemas.merged_schema import Merger
from fal_async.emulator.schemas.normal_schema import normal_schema, resolved

_MAX_ALTERNATIVES = 50
"""Alternatives of a union that are compared; fal's schemas have fewer than ten."""
_NUMBERS = {"integer": "number"}


class SchemaShape:
    """The members and types that a schema allows."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = normal_schema(schema)

    def differences(self, path: str, value: Any) -> list[Difference]:
        """Return where a recorded value has another shape than the schema allows.

        A schema that refers to itself without end, or asks for too much, allows everything.
        """
        try:
            return self._nearest(path, value, self._root)
        except RecursionError:
            return []

    def _nearest(self, path: str, value: Any, schema: Any) -> list[Difference]:
        """Return the differences from the alternative of the schema that is most like the value."""
        alternatives = self._alternatives(schema)
        return fewest(path, (list(self._from(path, value, each)) for each in alternatives))

    def _alternatives(self, schema: Any) -> list[dict[str, Any]]:
        merger = Merger(self._root, 0)
        return [merger.merged(one) for one in self._unmerged(schema)]

    def _unmerged(self, schema: Any) -> list[dict[str, Any]]:
        """Return the alternatives of a schema, each with what is asked for in all of them."""
        whole = resolved(self._root, schema)
        for word in ("anyOf", "oneOf"):
            if union := whole.pop(word, None):
                inner = [one for alternative in union for one in self._unmerged(alternative)]
                parts = whole.pop("allOf", [])
                return [{**whole, "allOf": [*parts, one]} for one in inner[:_MAX_ALTERNATIVES]]
        return [whole]

    def _from(self, path: str, value: Any, schema: Mapping[str, Any]) -> Iterator[Difference]:
        kinds = _types(schema)
        kind = json_type(value)
        if kinds and kind not in kinds:
            yield Difference(path, kind, " or ".join(kinds))
        elif isinstance(value, Mapping):
            yield from self._of_object(path, value, schema)
        elif isinstance(value, list):
            yield from self._of_list(path, value, schema)

    def _of_object(
        self, path: str, value: Mapping[str, Any], schema: Mapping[str, Any]
    ) -> Iterator[Difference]:
        members, more = schema.get("properties", {}), schema.get("additionalProperties")
        for name in dict.fromkeys(schema.get("required", ())):
            if name not in value:
                kinds = _types(resolved(self._root, members.get(name, {})))
                yield Difference(member(path, name), ABSENT, " or ".join(kinds) or "required")
        # Without members, or with patterns for their names, the schema leaves them open.
        is_open = not members or "patternProperties" in schema or more is True
        for name, inner in value.items():
            if name in members or isinstance(more, Mapping):
                yield from self._nearest(member(path, name), inner, members.get(name, more))
            elif not is_open:
                yield Difference(member(path, name), json_type(inner), ABSENT)

    def _of_list(self, path: str, value: list[Any], schema: Mapping[str, Any]) -> Iterator[Difference]:
        first = schema.get("prefixItems", [])
        for at, item in enumerate(value):
            yield from self._nearest(
                f"{path}[{at}]", item, first[at] if at < len(first) else schema.get("items")
            )


def _types(schema: Mapping[str, Any]) -> list[str]:
    """Return the JSON types that a schema without alternatives allows; [] if any."""
    kinds = schema.get("type", ())
    named = [kinds] if isinstance(kinds, str) else list(kinds)
    if not named and "const" in schema:
        named = [json_type(schema["const"])]
    if not named and "enum" in schema:
        named = [json_type(one) for one in schema["enum"]]
    return list(dict.fromkeys(_NUMBERS.get(kind, kind) for kind in named))
