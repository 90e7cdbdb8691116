"""What `fal-async types --check` says about two versions of a schema."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fal_async.typegen.differences import differences
from fal_async.typegen.module_text import module_text
from fal_async.typegen.styles import STYLES
from tests.typegen.documents import endpoint_schema, schema_of
from tests.typegen.shapes import NAMES, SHAPES, TEXT_TO_IMAGE


def changed() -> dict[str, Any]:
    """Return the input of `TEXT_TO_IMAGE` after many changes at fal."""
    schema: dict[str, Any] = copy.deepcopy(dict(TEXT_TO_IMAGE.input))
    properties = schema["properties"]
    properties["num_images"] |= {"default": 2, "maximum": 8}
    properties["seed"]["anyOf"][0]["type"] = "string"
    properties["prompt"]["description"] = "Other words."
    properties["class"] = {"type": "integer"}
    properties["region"] = {"$ref": "#/$defs/Region"}
    del properties["sync_mode"]
    schema["$defs"]["Region"] = {"type": "object", "properties": {"x": {"type": "integer"}}}
    schema["$defs"]["OutputFormat"]["enum"] = ["png", "webp"]
    schema["$defs"]["LoraWeight"]["properties"]["scale"]["deprecated"] = True
    properties["image_size"]["anyOf"][1]["enum"].append("tall")
    schema["required"] = ["prompt", "output_format"]
    return schema


def module(style: str, input: Any, command: str = "fal-async types") -> str:
    schema = endpoint_schema(TEXT_TO_IMAGE.endpoint_id, input, TEXT_TO_IMAGE.output)
    return module_text([schema], style=style, command=command)


@pytest.mark.parametrize("style", STYLES)
def test_every_change_at_fal_is_one_readable_line(style: str) -> None:
    nothing = " | None" if style == "typeddict" else ""
    assert differences(module(style, TEXT_TO_IMAGE.input), module(style, changed())) == [
        "OutputFormat: no longer 'jpeg'",
        "OutputFormat: now also 'webp'",
        "LoraWeight.scale: description",
        "FluxDevInputImageSize: now also 'tall'",
        "FluxDevInput.prompt: description",
        "FluxDevInput.num_images: fal's default 1 -> 2",
        "FluxDevInput.num_images: allowed 1 to 4 -> 1 to 8",
        "FluxDevInput.output_format: now required",
        f"FluxDevInput.seed: type int{nothing} -> str{nothing}",
        "FluxDevInput.sync_mode: removed",
        "Region: added",
        "FluxDevInput.class: added (int, optional)",
        "FluxDevInput.region: added (Region, optional)",
    ]


@pytest.mark.parametrize("style", STYLES)
def test_format_and_command_of_a_module_make_no_difference(style: str) -> None:
    text = module_text([schema_of(shape) for shape in SHAPES], style=style, command="one")
    other = module_text([schema_of(shape) for shape in SHAPES], style=style, command="two")
    joined = "\n".join(line for line in other.splitlines() if line.strip())
    assert differences(text, joined) == []


@pytest.mark.parametrize("style", STYLES)
def test_fields_whose_names_are_no_identifiers_are_compared_by_their_names_in_json(style: str) -> None:
    schema = copy.deepcopy(dict(NAMES.input))
    schema["properties"]["3d"] = {"type": "integer"}
    del schema["properties"]["x-y"]
    before, after = (
        module_text([endpoint_schema("a/b", each)], style=style, command="") for each in (NAMES.input, schema)
    )
    assert differences(before, after) == ["BInput.3d: type bool -> int", "BInput.x-y: removed"]


def test_a_new_order_of_fields_is_reported() -> None:
    schema = {**TEXT_TO_IMAGE.input, "x-fal-order-properties": ["loras"]}
    assert differences(module("attrs", TEXT_TO_IMAGE.input), module("attrs", schema)) == [
        "the order of classes and fields"
    ]


@pytest.mark.parametrize("text", ["not python (", "\x00", "(" * 10_000])
def test_a_file_that_is_not_python_is_reported_as_a_whole(text: str) -> None:
    (line,) = differences(text, module("attrs", TEXT_TO_IMAGE.input))
    assert line == "it is not a module that this command has made"


def test_another_module_differs_in_everything() -> None:
    lines = differences("import os\nx = 5\n\n\nclass A(B):\n    y: int = f(5)\n", module("attrs", changed()))
    assert {"A: removed", "FluxDevInput: added", "flux_dev: added"} <= set(lines)
