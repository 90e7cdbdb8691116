"""Required and unknown keys of an input, compared with the schema of its endpoint."""

from __future__ import annotations

import dataclasses
from typing import Any

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async import ConfigurationError
from fal_async.protocol.schemas.endpoint_schema import parse_schema
from fal_async.protocol.schemas.input_keys import key_problems, top_level_keys
from tests.protocol.schemas.documents import INPUT, VIDEO, document

SCHEMA: Any = parse_schema(document(), VIDEO).input
GOOD = {"prompt": "a cat", "image_url": "https://example.com/cat.png"}


@pytest.mark.parametrize(
    ("input", "problems"),
    [
        (GOOD, ""),
        ({**GOOD, "seed": None, "num_images": "4"}, ""),
        ({"prompt": None, "image_url": None}, ""),
        ({**GOOD, "numimages": 4}, "unknown key 'numimages' (did you mean 'num_images'?)"),
        ({**GOOD, "Num-Images": 4}, "unknown key 'Num-Images' (did you mean 'num_images'?)"),
        ({**GOOD, "size": 4}, "unknown key 'size' (did you mean 'image_size'?)"),
        ({"promt": "x", "image_url": ""}, "unknown key 'promt' (did you mean 'prompt'?)"),
        ({"prompt": "a cat"}, "missing key 'image_url'"),
        ({}, "missing keys 'image_url', 'prompt'"),
        (
            {"prompt": "x", "sed": 1, "imagesize": "square"},
            "unknown keys 'sed' (did you mean 'seed'?), 'imagesize' (did you mean 'image_size'?); "
            "missing key 'image_url'",
        ),
    ],
)
def test_missing_and_unknown_keys_are_named_with_the_key_that_is_meant(input: Any, problems: str) -> None:
    assert key_problems(SCHEMA, top_level_keys(input)) == problems


def test_the_known_keys_are_listed_if_none_is_similar_and_the_list_is_short() -> None:
    short: Any = {"properties": {"prompt": {}, "seed": {}}}
    assert key_problems(short, ["zzz"]) == "unknown key 'zzz'; its keys: prompt, seed"
    assert key_problems(SCHEMA, [*GOOD, "zzz"]) == "unknown key 'zzz'"


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"properties": {}},
        {"properties": {"a": {}}, "additionalProperties": True},
        {"properties": {"a": {}}, "additionalProperties": {}},
        {"properties": {"a": {}}, "additionalProperties": {"type": "string"}},
        {"properties": {"a": {}}, "patternProperties": {"^x": {}}},
        {"properties": {"a": {}}, "if": {}, "then": {"properties": {"z": {}}}},
        {"allOf": [{"properties": {"a": {}}}, {"additionalProperties": True}]},
        {"anyOf": [{"properties": {"a": {}}}, {"type": "object"}]},
        {"properties": {"a": {}}, "oneOf": [{"properties": {"z": {}}}, {"properties": {"y": {}}}]},
        {"$ref": "#/$defs/A", "$defs": {"A": {"properties": {"z": {}}}}},
        {"properties": "unreadable", "required": "unreadable"},
        {"properties": {"z": {"default": 1}, "y": {"default": 2}}, "required": ["z", "y"]},
    ],
)
def test_a_key_is_not_unknown_if_the_schema_may_allow_it(schema: Any) -> None:
    assert key_problems(schema, ["z"]) == ""


def test_false_additional_properties_and_all_of_report_unknown_keys() -> None:
    assert key_problems({"properties": {"a": {}}, "additionalProperties": False}, ["z"]) != ""
    both = {"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}, "required": ["b"]}]}
    assert key_problems(both, ["a"]) == "missing key 'b'"
    assert key_problems(both, ["a", "b", "c"]).startswith("unknown key 'c'")


def test_a_key_of_a_union_is_missing_only_if_every_alternative_requires_it() -> None:
    union = {
        "oneOf": [
            {"properties": {"a": {}, "x": {}}, "required": ["a", "x"]},
            {"$ref": "#/$defs/B"},
        ],
        "$defs": {"B": {"properties": {"b": {}, "x": {}}, "required": ["b", "x"]}},
    }
    assert key_problems(union, ["x", "b"]) == ""
    assert key_problems(union, ["a"]) == "missing key 'x'"
    assert key_problems(union, ["x", "q"]).startswith("unknown key 'q'")
    either = {"properties": {"a": {}, "b": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}
    assert key_problems(either, ["b"]) == ""
    assert key_problems(either, ["c"]).startswith("unknown key 'c'")


def test_a_union_that_contains_itself_is_compared_without_an_error() -> None:
    circle = {
        "$ref": "#/$defs/A",
        "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}], "properties": {"a": {}}}},
    }
    assert key_problems(circle, ["z"]) == ""


@attrs.frozen
class ByAttrs:
    prompt: str
    num_images: int | None = None


@dataclasses.dataclass
class ByDataclass:
    prompt: str
    num_images: int | None = None


class ByPydantic(pydantic.BaseModel):
    text: str = pydantic.Field(alias="prompt")
    num_images: int | None = None


class ByMsgspec(msgspec.Struct):
    text: str = msgspec.field(name="prompt")
    num_images: int | None = None


@pytest.mark.parametrize(
    "record",
    [ByAttrs("a cat"), ByDataclass("a cat"), ByPydantic(prompt="a cat"), ByMsgspec(text="a cat")],
    ids=lambda record: type(record).__name__,
)
def test_the_keys_of_a_record_are_its_names_in_json_without_fields_that_are_none(record: Any) -> None:
    assert list(top_level_keys(record)) == ["prompt"]


def test_the_keys_of_no_input_are_empty_and_other_types_are_refused() -> None:
    assert list(top_level_keys(None)) == []
    assert list(top_level_keys({"a": None, 1: 2})) == ["a"]
    with pytest.raises(ConfigurationError, match="list"):
        top_level_keys(["a"])


VALUES = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3) | st.just({"$ref": "#/$defs/A"}),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["properties", "required", "allOf", "anyOf", "a", "default", "additionalProperties"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["properties", "required", "allOf", "anyOf", "$ref"]), VALUES), VALUES)
def test_any_schema_is_compared_without_an_error(schema: Any, definition: Any) -> None:
    assert isinstance(key_problems({**schema, "$defs": {"A": definition}}, ["a", "b"]), str)


@given(st.sets(st.sampled_from(sorted(INPUT["properties"]))))
def test_known_keys_are_never_reported_as_unknown(keys: set[str]) -> None:
    assert "unknown" not in key_problems(SCHEMA, sorted(keys))
