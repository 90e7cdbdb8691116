"""The flat description of an input's fields."""

from __future__ import annotations

from typing import Any

import pytest

from fal_async.protocol.schemas.endpoint_schema import parse_schema
from fal_async.protocol.schemas.schema_fields import SchemaField, fields
from tests.protocol.schemas.documents import VIDEO, document

FIELDS = {field.name: field for field in parse_schema(document(), VIDEO).input_fields()}


def only_field(schema: Any, name: str = "member", **others: Any) -> SchemaField:
    (field,) = fields({"properties": {name: schema}, **others})
    return field


def test_fields_come_in_the_order_of_fal_and_then_of_the_document() -> None:
    assert list(FIELDS)[:4] == ["image_url", "prompt", "num_images", "image_size"]
    assert "missing" not in FIELDS
    assert len(FIELDS) == 13


def test_a_field_says_whether_it_is_required_and_what_it_means() -> None:
    prompt = FIELDS["prompt"]
    assert (prompt.type, prompt.required, prompt.has_default) == ("str", True, False)
    assert prompt.description == "What is seen."
    assert prompt.examples == ("a cat",)
    assert prompt.limits_text() == "at most 2000 characters"


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("num_images", "int"),
        ("image_size", "ImageSize | str"),
        ("seed", "int"),
        ("strength", "float"),
        ("loras", "list[LoraWeight]"),
        ("root", "Node"),
        ("mask_urls", "list[str]"),
        ("extra", "dict[str, int]"),
    ],
)
def test_a_type_is_written_in_the_words_of_python_without_none(name: str, type_: str) -> None:
    assert FIELDS[name].type == type_


@pytest.mark.parametrize(
    ("schema", "type_"),
    [
        ({}, "Any"),
        (True, "Any"),
        ({"type": "array"}, "list"),
        ({"type": "object"}, "dict"),
        ({"properties": {}}, "dict"),
        ({"const": 3}, "int"),
        ({"enum": ["a", 1]}, "str | int"),
        ({"type": ["string", "null"]}, "str"),
        ({"type": "null"}, "Any"),
        ({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}, "list[str | int]"),
        ({"anyOf": [{"type": "string"}, {"oneOf": [{"type": "string"}, {"type": "boolean"}]}]}, "str | bool"),
    ],
)
def test_the_type_of_an_unusual_schema_is_readable(schema: Any, type_: str) -> None:
    assert only_field(schema).type == type_


def test_nullable_fields_defaults_and_choices_are_told_apart() -> None:
    assert FIELDS["seed"].nullable
    assert FIELDS["strength"].nullable
    assert not FIELDS["prompt"].nullable
    assert (FIELDS["root"].has_default, FIELDS["root"].default) == (True, None)
    assert FIELDS["num_images"].default == 1
    assert FIELDS["format"].choices == ("png", "jpeg")
    assert FIELDS["format"].suggestions == ()
    assert FIELDS["image_size"].choices == ()
    assert FIELDS["image_size"].suggestions == ("square", "portrait")
    assert only_field({"type": ["string", "null"]}).nullable
    assert only_field({"enum": ["a", None]}).nullable


def test_limits_are_written_in_words() -> None:
    assert FIELDS["num_images"].limits == {"minimum": 1, "maximum": 4}
    assert FIELDS["num_images"].limits_text() == "1 to 4"
    assert FIELDS["ratio"].limits_text() == "more than 0"
    assert FIELDS["loras"].limits_text() == "at most 3 items"
    assert FIELDS["strength"].limits_text() == "at least 0"
    rest = {"exclusiveMaximum": 9, "multipleOf": 2, "minItems": 2, "maxItems": 2, "pattern": "a+"}
    assert only_field(rest).limits_text() == "less than 9, a multiple of 2, 2 items, pattern: a+"


@pytest.mark.parametrize(
    ("name", "schema", "kind"),
    [
        ("picture", {"type": "string", "_fal_ui_field": "image"}, "image"),
        ("reference", {"type": "string", "ui": {"field": "audio"}}, "audio"),
        ("clips", {"type": "array", "items": {"type": "string", "ui": {"field": "video"}}}, "video"),
        ("image_url", {"type": "string"}, "image"),
        ("mask_url", {"anyOf": [{"type": "string"}, {"type": "null"}]}, "image"),
        ("audio_urls", {"type": "array", "items": {"type": "string"}}, "audio"),
        ("images_data_url", {"type": "string"}, "image"),
        ("zip_url", {"type": "string"}, "file"),
        ("document", {"type": "string", "ui": {"field": "file"}}, "file"),
        ("webhook_url", {"type": "string", "format": "uri"}, None),
        ("prompt", {"type": "string", "_fal_ui_field": "textarea"}, None),
        ("image_url", {"type": "boolean"}, None),
        ("image_url", {"type": "string", "enum": ["a", "b"]}, None),
        ("image_size", {"type": "string"}, None),
        ("video_url", {"type": "object", "properties": {"url": {"type": "string"}}}, None),
    ],
)
def test_a_field_that_takes_a_file_is_recognised_by_its_mark_or_its_name(
    name: str, schema: Any, kind: str | None
) -> None:
    assert only_field(schema, name).file == kind


def test_properties_of_all_parts_of_an_all_of_are_fields() -> None:
    whole = {
        "allOf": [{"$ref": "#/$defs/Base"}, {"properties": {"b": {}}, "required": ["b"]}],
        "properties": {"c": {}},
        "$defs": {"Base": {"properties": {"a": {"type": "string"}}, "required": ["a"]}},
    }
    assert [(field.name, field.required) for field in fields(whole)] == [
        ("a", True),
        ("b", True),
        ("c", False),
    ]


def test_schemas_that_include_themselves_have_fields_nevertheless() -> None:
    circle = {"$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}], "properties": {"a": {"$ref": "#/$defs/A"}}}}}
    (field,) = fields({"$ref": "#/$defs/A", **circle})
    assert (field.name, field.type) == ("a", "A")
