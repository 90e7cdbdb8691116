"""The values of an input, compared with the JSON schema of its endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from fal_async import ConfigurationError, File
from fal_async.protocol.schemas.endpoint_schema import parse_schema
from fal_async.protocol.schemas.input_values import value_problems
from tests.protocol.schemas.documents import VIDEO, document
from tests.protocol.schemas.test_endpoint_schema import input_of

SCHEMA: Any = parse_schema(document(), VIDEO).input
GOOD = {"prompt": "a cat", "image_url": "https://example.com/cat.png"}


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({}, ""),
        ({"seed": None, "strength": 0.5, "image_size": "square", "num_images": 4}, ""),
        ({"image_size": {"width": 8, "height": 8}, "loras": [{"path": "x", "scale": 1}]}, ""),
        ({"root": {"name": "a", "children": [{"name": "b", "children": []}]}}, ""),
        ({"num_images": 4.0}, ""),
        ({"num_images": 9}, "$.num_images: expected at most 4"),
        ({"num_images": "4"}, "$.num_images: expected int, got str"),
        ({"num_images": True}, "$.num_images: expected int, got bool"),
        ({"prompt": None}, "$.prompt: expected str, got null"),
        ({"seed": "x"}, "$.seed: expected int, got str"),
        ({"strength": -1}, "$.strength: expected at least 0"),
        ({"ratio": 0}, "$.ratio: expected more than 0"),
        ({"format": "gif"}, "$.format: expected one of 'png', 'jpeg'"),
        ({"image_size": "huge"}, "$.image_size: expected one of 'square', 'portrait', or ImageSize"),
        ({"image_size": {"width": "x"}}, "$.image_size.width: expected int, got str"),
        ({"loras": [{"path": "x"}, {"path": "y", "scale": 9}]}, "$.loras[1].scale: expected at most 4"),
        ({"loras": [{"scale": 1}]}, "$.loras[0]: missing key 'path'"),
        ({"loras": [{"path": "x"}] * 4}, "$.loras: expected at most 3 items"),
        ({"loras": {"path": "x"}}, "$.loras: expected list[LoraWeight], got a mapping"),
        (
            {"root": {"children": [{"children": [{"name": 1}]}]}},
            "$.root.children[0].children[0].name: expected str, got int",
        ),
        (
            {"loras": [{"path": "x"}, {"path": "y", "scal": 2}]},
            "$.loras[1]: unknown key 'scal' (did you mean 'scale'?)",
        ),
        ({"image_size": {"with": 8}}, "$.image_size: unknown key 'with' (did you mean 'width'?)"),
        (
            {"root": {"children": [{"children": [{"nam": "x"}]}]}},
            "$.root.children[0].children[0]: unknown key 'nam' (did you mean 'name'?)",
        ),
        ({"extra": {"any": 1}}, ""),
        ({"extra": {"a": "x"}}, "$.extra.a: expected int, got str"),
        ({"prompt": "x" * 2001}, "$.prompt: expected at most 2000 characters"),
    ],
)
def test_a_value_that_does_not_fit_is_named_by_its_place_and_what_was_expected(
    changes: dict[str, Any], problems: str
) -> None:
    assert value_problems(SCHEMA, GOOD | changes) == problems


def test_at_most_three_problems_are_named_and_the_others_are_counted() -> None:
    wrong = {"prompt": 1, "image_url": 2, "num_images": 9, "format": "x", "ratio": 0}
    words = value_problems(SCHEMA, wrong)
    assert words.count("expected") == 3
    assert words.endswith("; and 2 more")


def test_a_file_decides_an_alternative_as_its_url_does() -> None:
    kinds = [{"type": "string"}, {"type": "object", "properties": {"url": {"type": "string"}}}]
    schema = {"properties": {"image": {"anyOf": kinds}, "name": {"enum": ["a"]}}}
    for image in (Path("cat.png"), {"url": Path("cat.png")}):
        assert value_problems(schema, {"image": image, "name": Path("a")}) == ""


def test_objects_with_several_alternatives_may_have_the_keys_of_all() -> None:
    kinds: list[Any] = [{"properties": {"a": {}}}, {"properties": {"b": {}}}]
    assert value_problems({"properties": {"member": {"anyOf": kinds}}}, {"member": {"a": 1, "b": 2}}) == ""
    words = value_problems({"properties": {"member": {"anyOf": kinds}}}, {"member": {"c": 3}})
    assert words == "$.member: unknown key 'c'"


def test_files_fit_everywhere_and_other_values_beside_them_are_compared() -> None:
    files = {"prompt": "x", "image_url": Path("cat.png"), "mask_urls": [File(b"x"), "https://x", 3]}
    assert value_problems(SCHEMA, files) == "$.mask_urls[2]: expected str, got int"


@attrs.frozen
class Lora:
    path: str
    scale: float | None = None


@attrs.frozen
class Input:
    prompt: str
    image_url: str
    loras: list[Lora]
    seed: int | None = None


def test_records_are_compared_as_the_json_that_is_sent() -> None:
    assert value_problems(SCHEMA, Input("x", "y", [Lora("z")])) == ""
    assert value_problems(SCHEMA, Input("x", "y", [Lora("z", 9)])) == "$.loras[0].scale: expected at most 4"


def test_an_input_that_json_can_not_represent_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="set"):
        value_problems(SCHEMA, {"prompt": {1, 2}})


@pytest.mark.parametrize(
    "member",
    [
        {"type": "unheard-of"},
        {"type": "string", "pattern": "("},
        {"minimum": "x"},
        {"anyOf": 3},
        {"$ref": "https://example.com/schema.json"},
        {"oneOf": [{"type": "string"}, {"type": "string"}]},
        {"$id": "https://example.com/a", "type": "string"},
    ],
)
def test_a_schema_that_can_not_be_used_reports_nothing(member: Any) -> None:
    assert value_problems(input_of({"properties": {"a": member}}), {"a": "text"}) == ""


def test_references_in_a_circle_report_nothing() -> None:
    circle = {"$ref": "#/components/schemas/B"}
    schema = input_of({"properties": {"a": circle}}, B={"$ref": "#/components/schemas/C"}, C=circle)
    assert value_problems(schema, {"a": "text"}) == ""


def test_unusual_constraints_are_described_without_the_value() -> None:
    member = {"type": "array", "uniqueItems": True, "contains": {"type": "string"}}
    schema = {"properties": {"a": member, "b": {"additionalProperties": False, "properties": {"x": {}}}}}
    words = value_problems(schema, {"a": [7777, 7777], "b": {"x": 1, "y": 2}})
    assert "$.b: unknown key 'y'" in words
    assert "7777" not in words


def test_a_required_key_with_a_default_is_not_missing() -> None:
    lora = {"required": ["path", "scale"], "properties": {"path": {}, "scale": {"default": 1}}}
    assert value_problems({"properties": {"lora": lora}}, {"lora": {"path": "x"}}) == ""


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*SCHEMA["properties"], "path", "scale", "width"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(sorted(SCHEMA["properties"])), VALUES))
def test_an_input_has_problems_exactly_if_jsonschema_refuses_it(input: Any) -> None:
    problems = value_problems(SCHEMA, input)
    if "unknown key" in problems or "more" in problems:
        return  # beyond what the schema says; or not all of them are shown
    assert (problems == "") == Draft202012Validator(SCHEMA).is_valid(input)
