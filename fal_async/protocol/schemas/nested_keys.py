"""Unknown keys of the objects within an input, such as `scal` in `$.loras[0]`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fal_async.protocol.schemas.input_keys import unknown_keys
from fal_async.protocol.schemas.schema_fields import all_of, alternatives, ordered_properties, resolved

Place = tuple[str | int, ...]


def nested_unknown_keys(
    root: Mapping[str, Any], schema: Any, value: Any, place: Place = ()
) -> Iterator[tuple[Place, str]]:
    """Yield the place of each object in `value` with unknown keys, and the keys in words.

    The value itself is not included. Where a schema has several alternatives for objects, their keys are not
    compared.
    """
    kinds = [resolved(root, each) for each in alternatives(root, resolved(root, schema))]
    if isinstance(value, Mapping):
        yield from _within_object(root, kinds, value, place)
    elif isinstance(value, list):
        items = [kind["items"] for kind in kinds if "items" in kind]
        for at, item in enumerate(value) if len(items) == 1 else ():
            yield from _compared(root, items[0], item, (*place, at))


def _within_object(
    root: Mapping[str, Any], kinds: list[Mapping[str, Any]], value: Mapping[str, Any], place: Place
) -> Iterator[tuple[Place, str]]:
    objects = [kind for kind in kinds if any("properties" in part for part in all_of(root, kind))]
    for name, member in _members(root, objects[0]) if len(objects) == 1 else ():
        if name in value:
            yield from _compared(root, member, value[name], (*place, name))


def _compared(root: Mapping[str, Any], schema: Any, value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, Mapping) and (words := unknown_keys(_with_definitions(root, schema), value)):
        yield place, words
    yield from nested_unknown_keys(root, schema, value, place)


def _members(root: Mapping[str, Any], schema: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return ordered_properties(_with_definitions(root, schema))


def _with_definitions(root: Mapping[str, Any], schema: Any) -> Mapping[str, Any]:
    """Return a schema of `root` as one that can be read alone."""
    return {**schema, "$defs": root.get("$defs", {})} if isinstance(schema, Mapping) else {}
