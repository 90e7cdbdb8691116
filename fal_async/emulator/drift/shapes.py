"""Shapes of JSON values: which members there are, and their JSON types. Values are not compared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

ABSENT = "absent"
"""Stands in place of a type where a member does not exist."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@attrs.frozen
class Difference:
    """A place of a cassette where the emulator answers otherwise than was recorded.

    Attributes:
        path: the JSON path in the cassette's file, such as `answer.body.json.images[0].width`.
        recorded: what was recorded: a JSON type, a status, or "absent".
        emulated: what the emulator answers.
    """

    path: str
    recorded: str
    emulated: str


def json_type(value: Any) -> str:
    """Return the JSON type of a value; JSON has one type for all numbers."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, Mapping) else "array"


def member(path: str, name: str) -> str:
    """Return the JSON path of a member."""
    return f"{path}.{name}" if _NAME.fullmatch(name) else f"{path}[{json.dumps(name)}]"


def shape_differences(path: str, recorded: Any, emulated: Any) -> Iterator[Difference]:
    """Yield where the shape of a recorded value is not that of the emulator's.

    Each item of a list is compared with the item of the emulator's list that is most like it, so an empty list is
    like every other.
    """
    kinds = json_type(recorded), json_type(emulated)
    if kinds[0] != kinds[1]:
        yield Difference(path, *kinds)
    elif kinds[0] == "object":
        for name in dict.fromkeys((*recorded, *emulated)):
            yield from _of_member(member(path, name), name, recorded, emulated)
    elif kinds[0] == "array" and emulated:
        for at, item in enumerate(recorded):
            yield from nearest_differences(f"{path}[{at}]", item, emulated)


def nearest_differences(path: str, recorded: Any, variants: Iterable[Any]) -> list[Difference]:
    """Return the differences of a recorded value from the one of several values that is most like it."""
    return fewest(path, (list(shape_differences(path, recorded, variant)) for variant in variants))


def fewest(path: str, candidates: Iterable[list[Difference]]) -> list[Difference]:
    """Return the differences from the variant that is most like a value; [] if there are no variants.

    A variant of the same type comes before those of other types, whatever differs within it.
    """
    found: list[Difference] | None = None
    for differences in candidates:
        if found is None or _distance(path, differences) < _distance(path, found):
            found = differences
        if not found:
            break
    return found or []


def _distance(path: str, differences: list[Difference]) -> tuple[bool, int]:
    return any(each.path == path for each in differences), len(differences)


def _of_member(
    path: str, name: str, recorded: Mapping[str, Any], emulated: Mapping[str, Any]
) -> Iterator[Difference]:
    if name not in emulated:
        yield Difference(path, json_type(recorded[name]), ABSENT)
    elif name not in recorded:
        yield Difference(path, ABSENT, json_type(emulated[name]))
    else:
        yield from shape_differences(path, recorded[name], emulated[name])
