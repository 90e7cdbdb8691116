"""Recorded results are compared with schemas by members and types."""

from __future__ import annotations

from typing import Any

import pytest

from fal_async.emulator.drift.schema_shapes import SchemaShape
from fal_async.emulator.drift.shapes import shape_differences

FILE = {
    "type": "object",
    "properties": {"url": {"type": "string"}, "size": {"type": "integer"}},
    "required": ["url"],
}
UNION = {"anyOf": [{"type": "string"}, FILE, {"type": "null"}]}
TREE = {
    "$ref": "#/$defs/T",
    "$defs": {"T": {"type": "object", "properties": {"next": {"$ref": "#/$defs/T"}}}},
}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (FILE, {"url": "x", "size": 1.5}, []),
        (FILE, {"size": None}, ["v.url: absent, string", "v.size: null, number"]),
        (FILE, {"url": "x", "a b": 1}, ['v["a b"]: number, absent']),
        (FILE | {"additionalProperties": True}, {"url": "x", "more": 1}, []),
        (
            FILE | {"additionalProperties": {"type": "string"}},
            {"url": "x", "more": 1},
            ["v.more: number, string"],
        ),
        ({"type": "object"}, {"anything": 1}, []),
        (UNION, None, []),
        (UNION, {"url": 1}, ["v.url: number, string"]),
        (UNION, 1, ["v: number, string"]),
        (
            {"anyOf": [UNION, {"type": "array", "items": FILE}]},
            [{"url": "x"}, {}],
            ["v[1].url: absent, string"],
        ),
        (
            {"allOf": [FILE, {"properties": {"w": {"type": "number"}}}]},
            {"url": "", "w": ""},
            ["v.w: string, number"],
        ),
        ({"type": ["string", "null"]}, 1, ["v: number, string or null"]),
        ({"enum": ["a", 1]}, True, ["v: boolean, string or number"]),
        ({"properties": {"a": {"type": "string", "nullable": True}}}, {"a": None}, []),
        ({"type": "array", "prefixItems": [{"type": "string"}], "items": False}, ["a", 1], []),
        (TREE, {"next": {"next": {"last": 1}}}, ["v.next.next.last: number, absent"]),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}}, 1, []),
    ],
)
def test_value_is_compared_with_the_nearest_alternative(schema: Any, value: Any, expected: list[str]) -> None:
    found = SchemaShape(schema).differences("v", value)
    assert [f"{each.path}: {each.recorded}, {each.emulated}" for each in found] == expected


@pytest.mark.parametrize(
    ("recorded", "emulated", "expected"),
    [
        ({"a": 1, "b": "x"}, {"a": 2.5, "b": ""}, []),
        ([{"a": 1}, {"b": 1}], [{"b": 0}, {"a": 0}], []),
        ([{"a": 1, "c": 1}], [{"b": 0}, {"a": 0}], ["v[0].c: number, absent"]),
        ([1], [], []),
        ({"a": True}, {"a": 1}, ["v.a: boolean, number"]),
    ],
)
def test_value_is_compared_with_the_emulators_own(recorded: Any, emulated: Any, expected: list[str]) -> None:
    found = shape_differences("v", recorded, emulated)
    assert [f"{each.path}: {each.recorded}, {each.emulated}" for each in found] == expected
