"""What a module says about single schemas: names, shared types, docstrings, defaults and nulls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from fal_async.protocol.schemas.endpoint_schema import EndpointSchema
from fal_async.typegen.module_text import module_text
from tests.typegen.documents import endpoint_schema

IMAGE = {"type": "object", "required": ["url"], "properties": {"url": {"type": "string"}}}
OTHER_IMAGE = {"type": "object", "properties": {"url": {"type": "string"}, "alpha": {"type": "boolean"}}}


def text_of(*schemas: EndpointSchema, style: str = "attrs") -> str:
    return module_text(schemas, style=style, command="fal-async types")


def of_input(properties: Mapping[str, Any], **more: Any) -> str:
    return text_of(endpoint_schema("a/b", {"type": "object", "properties": properties, **more}))


def with_image(endpoint_id: str, image: Mapping[str, Any]) -> EndpointSchema:
    output = {"type": "object", "properties": {"image": {"$ref": "#/$defs/Image"}}, "$defs": {"Image": image}}
    return endpoint_schema(endpoint_id, {"type": "object", "properties": {}}, output)


def classes(text: str) -> list[str]:
    return [
        line.split()[1].split("(")[0].rstrip(":") for line in text.splitlines() if line.startswith("class ")
    ]


def test_equal_types_of_several_endpoints_are_one_class() -> None:
    text = text_of(with_image("fal-ai/flux/dev", IMAGE), with_image("fal-ai/flux/schnell", IMAGE))
    assert classes(text) == [
        "FluxDevInput",
        "Image",
        "FluxDevOutput",
        "FluxSchnellInput",
        "FluxSchnellOutput",
    ]


def test_different_types_of_one_name_become_different_classes() -> None:
    text = text_of(with_image("fal-ai/flux/dev", IMAGE), with_image("fal-ai/flux/schnell", OTHER_IMAGE))
    assert [name for name in classes(text) if "Image" in name] == ["Image", "FluxSchnellImage"]
    assert "class FluxSchnellOutput:" in text
    assert "    image: FluxSchnellImage | None = None\n" in text


def test_an_endpoint_that_is_added_renames_no_class_before_it() -> None:
    one, two = with_image("fal-ai/flux/dev", IMAGE), with_image("other/flux/dev", OTHER_IMAGE)
    assert classes(text_of(one, two))[:3] == classes(text_of(one))
    assert "flux_dev = Endpoint(" in text_of(one, two)
    assert "other_flux_dev = Endpoint(" in text_of(one, two)


@pytest.mark.parametrize(
    ("endpoint_id", "prefix", "variable"),
    [
        ("fal-ai/flux/dev", "FluxDev", "flux_dev"),
        ("fal-ai/flux-pro/v1.1-ultra", "FluxProV11Ultra", "flux_pro_v1_1_ultra"),
        ("workflows/me/my-flow", "MyFlow", "my_flow"),
        ("me/3d", "Model3d", "field_3d"),
        ("me/class", "Class", "class_"),
        ("me/str", "Str", "str_"),
    ],
)
def test_names_of_an_endpoint_come_from_its_id(endpoint_id: str, prefix: str, variable: str) -> None:
    text = text_of(endpoint_schema(endpoint_id, {"type": "object", "properties": {}}))
    assert f"class {prefix}Input:" in text
    assert text.endswith(f'\n{variable} = Endpoint("{endpoint_id}", input={prefix}Input)\n')


def test_fields_follow_the_order_of_fal_and_then_of_the_schema() -> None:
    properties = {name: {"type": "string"} for name in "abcd"}
    text = of_input(properties, **{"x-fal-order-properties": ["d", "b", "missing"]})
    assert [line.strip()[0] for line in text.splitlines() if line.endswith(": str | None = None")] == list(
        "dbac"
    )


@pytest.mark.parametrize(
    ("schema", "required", "line"),
    [
        ({"type": "integer", "default": 1}, False, "x: int | None = None"),
        ({"type": "integer"}, True, "x: int"),
        ({"type": ["integer", "null"]}, False, "x: int | None = None"),
        ({"type": ["integer", "null"], "default": None}, False, "x: int | None = None"),
        ({"type": ["integer", "null"], "default": 5}, False, "x: int | Null | None = None"),
        ({"type": "integer", "nullable": True}, True, "x: int | Null"),
        ({"type": "array", "items": {"type": "string", "nullable": True}}, True, "x: list[str | None]"),
        ({"const": "a"}, True, 'x: Literal["a"] = "a"'),
        ({"const": "a"}, False, 'x: Literal["a"] | None = None'),
        ({"enum": ["a", 1, True, None]}, False, 'x: Literal["a", 1, True] | None = None'),
        ({"enum": [0.5, 1]}, True, "x: float | Literal[1]"),
        ({"anyOf": [{"type": "string"}, {}]}, True, "x: Any"),
        ({"format": "date-time", "type": "string"}, True, "x: str"),
        ({"allOf": [{"type": "string"}]}, True, "x: str"),
        ({"type": "array"}, True, "x: list[Any]"),
        ({"type": "object"}, True, "x: dict[str, Any]"),
    ],
)
def test_a_field_of_an_input_is_written_so_that_none_is_not_sent(
    schema: Any, required: bool, line: str
) -> None:
    assert f"    {line}\n" in of_input({"x": schema}, required=["x"] * required)


@pytest.mark.parametrize(
    ("name", "schema", "kind"),
    [
        ("image_url", {"type": "string"}, "FileInput"),
        ("image_urls", {"type": "array", "items": {"type": "string"}}, "list[FileInput]"),
        ("voice", {"type": "string", "ui": {"field": "audio"}}, "FileInput"),
        ("mask_url", {"anyOf": [{"type": "string"}, {"enum": ["auto"]}]}, 'FileInput | Literal["auto"]'),
        ("webhook_url", {"type": "string"}, "str"),
        ("prompt", {"type": "string"}, "str"),
    ],
)
def test_a_file_of_an_input_may_be_a_url_or_a_file(name: str, schema: Any, kind: str) -> None:
    assert f"    {name}: {kind}\n" in of_input({name: schema}, required=[name])


def test_a_url_of_an_output_is_text() -> None:
    assert "    url: str\n" in text_of(with_image("a/b", IMAGE))


def test_a_docstring_has_the_description_the_limits_and_the_default_of_fal() -> None:
    schema = {
        "type": "integer",
        "minimum": 1,
        "maximum": 4,
        "default": 2,
        "description": "How many.\n\n- one",
    }
    assert '    """How many.\n\n    - one\n\n    Allowed: 1 to 4. fal\'s default: 2.\n    """\n' in of_input(
        {"n": schema}
    )


def test_limits_of_an_output_are_not_checked_because_it_is_paid() -> None:
    output = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 4, "default": 1}}}
    text = text_of(endpoint_schema("a/b", {}, output), style="pydantic")
    assert "    n: int | None = None\n" in text
    assert "Field(" not in text


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ({"type": "array", "items": IMAGE}, "list[BOutputItem]"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "dict[str, float]"),
        ({"type": "string"}, "str"),
        ({"type": "object"}, "dict[str, Any]"),
    ],
)
def test_an_output_that_is_not_a_record_has_its_type(output: Any, kind: str) -> None:
    assert text_of(endpoint_schema("a/b", {}, output)).endswith(f'b = Endpoint("a/b", output={kind})\n')


def test_records_within_a_union_are_named_after_the_field_and_numbered_only_if_several() -> None:
    one = {"anyOf": [IMAGE, {"type": "string"}]}
    assert "    x: BInputX | str\n" in of_input({"x": one}, required=["x"])
    several = {"anyOf": [IMAGE, {"type": "string"}, OTHER_IMAGE]}
    assert "    x: BInputX1 | str | BInputX2\n" in of_input({"x": several}, required=["x"])
    titled = {"anyOf": [{**IMAGE, "title": "Picture"}, {"type": "string"}]}
    assert "    x: Picture | str\n" in of_input({"x": titled}, required=["x"])


@pytest.mark.parametrize("output", [None, {}, {"type": ["string", "null"]}, {"enum": ["a"]}])
def test_an_output_that_no_class_stands_for_is_left_out(output: Any) -> None:
    assert text_of(endpoint_schema("a/b", {}, output)).endswith('b = Endpoint("a/b")\n')


def test_records_in_hundreds_of_levels_are_read_and_deeper_lists_are_any() -> None:
    defs = {f"D{n}": {"properties": {"x": {"$ref": f"#/$defs/D{n + 1}"}}} for n in range(300)}
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(60):
        deep = {"type": "array", "items": deep}
    schema = EndpointSchema(
        endpoint_id="a/b",
        input={
            "type": "object",
            "properties": {"x": {"$ref": "#/$defs/D0"}, "y": deep},
            "$defs": defs | {"D300": {"properties": {"end": {"type": "string"}}}},
        },
    )
    text = text_of(schema)
    assert "    end: str | None = None\n" in text
    assert text.count("list[") < 60
    assert "Any" in text


def test_a_record_that_contains_itself_by_parts_of_all_of_is_one_class() -> None:
    more = {"properties": {"y": {"type": "string"}}}
    node = {"type": "object", "properties": {"next": {"allOf": [{"$ref": "#/$defs/Node"}, more]}}}
    schema = {"type": "object", "properties": {"node": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": node}}
    text = text_of(endpoint_schema("a/b", schema))
    assert classes(text) == ["NodeNext", "Node", "BInput"]
    assert text.count("    next: NodeNext | None = None\n") == 2


@pytest.mark.parametrize("word", ["allOf", "anyOf", "prefixItems"])
def test_a_short_schema_that_unfolds_to_millions_of_types_is_cut(word: str) -> None:
    defs: dict[str, Any] = {
        f"D{n}": {"type": "array", "maxItems": 9, word: [{"$ref": f"#/$defs/D{n + 1}"}] * 9} for n in range(9)
    }
    around = {"allOf": [{"$ref": "#/$defs/Around"}] * 9}
    schema = {
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/D0"}, "y": {"$ref": "#/$defs/Around"}},
        "$defs": {**defs, "D9": {"type": "string"}, "Around": around},
    }
    assert "    y: Any = None\n" in text_of(endpoint_schema("a/b", schema))
