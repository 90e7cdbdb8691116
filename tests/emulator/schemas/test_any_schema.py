"""Hypothesis: whatever a schema or a document is, it is used, or refused with a ValueError; nothing hangs."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fal_async.emulator.builtin.painters import plain
from fal_async.emulator.operations.openapi_schemas import components_of
from fal_async.emulator.schemas.input_check import InputCheck
from fal_async.emulator.schemas.model_document import read_document
from fal_async.emulator.schemas.normal_schema import normal_schema
from fal_async.emulator.schemas.sample_model import SampleModel, standing_in
from tests.emulator.schemas.documents_of_models import document

FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
WORDS = st.sampled_from(
    ["a", "images", "url", "seed", "content_type", "width", "height", "video_url", "$ref", ""]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYWORDS = st.sampled_from(
    [
        *(
            "type",
            "properties",
            "required",
            "items",
            "prefixItems",
            "anyOf",
            "oneOf",
            "allOf",
            "not",
            "if",
            "then",
        ),
        *(
            "$ref",
            "$defs",
            "definitions",
            "enum",
            "const",
            "default",
            "example",
            "examples",
            "nullable",
            "format",
        ),
        *(
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
            "minLength",
            "maxLength",
        ),
        *("pattern", "minItems", "maxItems", "uniqueItems", "minProperties", "additionalProperties", "title"),
        *("patternProperties", "propertyNames", "contains", "dependentRequired", "dependentSchemas", "x-fal"),
    ]
)
VALUES = JSON | st.sampled_from(
    [
        *(
            "object",
            "string",
            "array",
            "integer",
            "#",
            "#/$defs/a",
            "#/components/schemas/TheOutput",
            "(a+)+$",
            "[",
        ),
        *(10**400, -1, 1e308, True, ["object", "null"], ["a", 5], "#/components/schemas/A", "http://a/b"),
    ]
)
HOSTILE = st.recursive(
    st.booleans() | st.dictionaries(KEYWORDS, VALUES, max_size=4),
    lambda inner: st.dictionaries(
        KEYWORDS,
        inner | st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3) | VALUES,
        max_size=5,
    ),
    max_leaves=10,
)


def refusal_of(call: Callable[[], object]) -> str:
    """Return the message of the ValueError that a call raises; empty without one."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return ""


@given(schema=HOSTILE | JSON, other=HOSTILE, value=JSON)
@FEW
def test_a_hostile_schema_is_used_or_refused_and_its_samples_fit(schema: Any, other: Any, value: Any) -> None:
    try:
        read = read_document(document("me/m", input=other, output=schema, A=other))
        model = SampleModel(read, 0, plain)
        output = standing_in(model.sampled({}))
    except ValueError:
        pass
    else:
        json.dumps(output)
        jsonschema.Draft202012Validator(read.output).validate(output)
    for each in (schema, other):
        check = InputCheck(each, "me/m")
        try:
            entries = check.entries(value)
        except ValueError:
            continue
        json.dumps(entries)
        assert all(entry["loc"][0] == "body" and entry["msg"] and entry["type"] for entry in entries)


@given(document=st.dictionaries(st.sampled_from(["paths", "info", "endpoint_id", "input"]), JSON))
@FEW
def test_a_document_of_any_form_is_read_or_refused(document: Any) -> None:
    refused = refusal_of(lambda: read_document(document))
    assert refused.startswith("the document: ") or not refused


@given(schema=HOSTILE)
@FEW
def test_a_normal_schema_is_valid_and_normal_already(schema: Any) -> None:
    normal = normal_schema(schema)
    jsonschema.Draft202012Validator.check_schema(normal)
    assert normal_schema(normal).keys() == normal.keys()
    json.dumps(components_of({"A": normal}))


NUMBERS = st.integers(-50, 50)


def limited(kind: str, low: Any, high: Any, step: Any) -> dict[str, Any]:
    limits = {"minimum": low, "exclusiveMaximum": high, "multipleOf": step}
    return {"type": kind, **{name: value for name, value in limits.items() if value is not None}}


SCALARS = (
    st.builds(
        limited,
        st.sampled_from(["integer", "number"]),
        st.none() | NUMBERS,
        st.none() | st.integers(60, 70),
        st.sampled_from([None, 1, 3]),
    )
    | st.builds(
        lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more},
        st.integers(0, 40),
        st.integers(0, 40),
    )
    | st.sampled_from(["date-time", "date", "uuid", "email", "uri", "ipv4", "other"]).map(
        lambda name: {"type": "string", "format": name}
    )
    | st.lists(JSON, min_size=1, max_size=3).map(lambda values: {"enum": values})
    | JSON.map(lambda value: {"const": value})
    | st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["null", "string"]}, {}, True])
    | st.sampled_from(["^[a-z]+$", "^[0-9]+$", "^#[0-9a-f]{6}$", "^\\d+x\\d+$"]).map(
        lambda text: {"pattern": text}
    )
)
NAMES = st.sampled_from(["text", "images", "caption", "file", "count", "video"])
USUAL = st.recursive(
    SCALARS
    | st.just({"$ref": "#/components/schemas/Image"})
    | st.just({"$ref": "#/components/schemas/Node"}),
    lambda inner: (
        st.dictionaries(NAMES, inner, max_size=4).map(
            lambda members: {"type": "object", "properties": members, "required": sorted(members)[:2]}
        )
        | st.builds(
            lambda item, low: {"type": "array", "items": item, "minItems": low}, inner, st.integers(0, 3)
        )
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts})
        | inner.map(lambda part: {"allOf": [part], "nullable": True, "title": "Outer"})
        | inner.map(lambda part: {"type": "object", "additionalProperties": part, "minProperties": 2})
        | st.lists(inner, max_size=2).map(
            lambda parts: {"type": "array", "prefixItems": parts, "minItems": 1}
        )
    ),
    max_leaves=8,
)
NODE = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
    },
}


@given(schema=USUAL, input=st.dictionaries(NAMES | st.just("num_images"), JSON, max_size=3))
@FEW
def test_every_schema_of_usual_words_has_a_sample_that_fits_and_is_always_the_same(
    schema: Any, input: dict[str, Any]
) -> None:
    read = read_document(document("me/m", output=schema, Node=NODE))
    first, again = (SampleModel(read, 0, plain).sampled(input) for _ in range(2))
    assert first == again
    jsonschema.Draft202012Validator(read.output).validate(standing_in(first))


def bomb(width: int, depth: int, word: str) -> dict[str, Any]:
    parts = {f"A{n}": {word: [{"$ref": f"#/$defs/A{n + 1}"}] * width} for n in range(depth)}
    return {"$ref": "#/$defs/A0", "$defs": {**parts, f"A{depth}": {"type": "string"}}}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


BOMBS = {
    "allOf": bomb(3, 40, "allOf"),
    "oneOf": bomb(2, 40, "oneOf"),
    "itself": {"$ref": "#"},
    "endless": {
        "$defs": {"A": {"required": ["a"], "properties": {"a": {"$ref": "#/$defs/A"}}}},
        "$ref": "#/$defs/A",
    },
    "deep": deep(90),
    "too deep": deep(20_000),
    "wide": {"properties": {f"a{n}": {"type": "integer"} for n in range(60_000)}},
    "long": {"type": "array", "minItems": 10**9},
    "large": {"type": "object", "minProperties": 10**9},
    "text": {"type": "string", "minLength": 10**12},
    "pattern": {"type": "string", "pattern": "^(a+)+$"},
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_schema_that_asks_for_too_much_is_refused_or_used_in_a_short_time(name: str) -> None:
    read = {"endpoint_id": "a/b", "input": {}, "output": BOMBS[name]}
    refused = refusal_of(lambda: SampleModel(read_document(read), 0, plain))
    assert len(refused) < 300
    assert bool(refused) is (name not in ("deep", "pattern"))
    values: tuple[Any, ...] = ({}, "a" * 40 + "!", [[]])
    for value in values:
        refused = refusal_of(partial(InputCheck(BOMBS[name], "a/b").entries, value))
        assert "schema" in refused or not refused
