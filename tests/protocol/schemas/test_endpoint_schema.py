"""Reading fal's OpenAPI document of an endpoint (protocol 11.6)."""

from __future__ import annotations

import copy
import pickle
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async import Hosts, ResponseDecodeError
from fal_async.protocol.schemas.endpoint_schema import EndpointSchema, parse_schema, schema_request
from tests.protocol.schemas.documents import INPUT, LORA, SCHEMAS, VIDEO, document


def parsed(**changes: Any) -> EndpointSchema:
    return parse_schema(document(**changes), VIDEO)


def input_of(schema: Any, **others: Any) -> Any:
    """Return the input's schema of an endpoint whose document has this one."""
    return parsed(schemas={**SCHEMAS, "VideoInput": schema, **others}).input


def test_the_schema_request_is_public_and_names_the_endpoint_in_its_query() -> None:
    request = schema_request(Hosts(), "workflows/me/my-flow")
    parts = urlsplit(request.url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://fal.ai/api/openapi/queue/openapi.json"
    assert parse_qs(parts.query) == {"endpoint_id": ["workflows/me/my-flow"]}
    assert (request.method, request.auth, request.body) == ("GET", False, None)
    assert request.endpoint_id == "workflows/me/my-flow"


def test_a_schema_has_the_input_the_output_and_the_metadata_of_the_document() -> None:
    schema = parsed()
    assert schema.input is not None
    assert schema.output is not None
    assert schema.input["required"] == ["prompt", "image_url"]
    assert schema.output["properties"]["video"] == {"$ref": "#/$defs/File"}
    assert schema.output["$defs"] == {"File": SCHEMAS["File"]}
    assert (schema.title, schema.category) == ("VideoInput", "image-to-video")
    assert schema.playground_url == "https://fal.ai/models/acme/video/edit"
    assert schema.documentation_url == "https://fal.ai/models/acme/video/edit/api"
    assert schema.thumbnail_url is None
    assert schema.document["openapi"] == "3.0.4"


@pytest.mark.parametrize("path", [f"/{VIDEO}", f"/{VIDEO}/", "/acme/another-name"])
def test_the_input_is_found_with_a_slash_at_the_end_and_under_the_name_of_an_alias(path: str) -> None:
    served = document(path=path.rstrip("/"))
    served["paths"][path] = served["paths"].pop(path.rstrip("/"))
    schema = parse_schema(served, VIDEO)
    assert schema.title == "VideoInput"
    assert schema.output is not None


def test_several_foreign_paths_are_not_guessed_among() -> None:
    served = document(path="/acme/one")
    served["paths"] |= document(path="/acme/two")["paths"]
    schema = parse_schema(served, VIDEO)
    assert schema.input is None
    assert schema.output is None


def test_nested_references_lead_into_the_schema_and_recursion_stays_a_reference() -> None:
    schema = parsed().input
    assert schema is not None
    assert schema["properties"]["loras"]["items"] == {"$ref": "#/$defs/LoraWeight"}
    assert schema["$defs"]["LoraWeight"] == LORA
    assert schema["$defs"]["Node"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert list(schema["$defs"]) == ["ImageSize", "LoraWeight", "Node"]


def test_an_input_that_contains_itself_refers_to_itself() -> None:
    itself = {"properties": {"next": {"$ref": "#/components/schemas/VideoInput"}}}
    schema = input_of(itself)
    assert schema["properties"]["next"] == {"$ref": "#/$defs/VideoInput"}
    assert schema["$defs"] == {"VideoInput": {"properties": {"next": {"$ref": "#/$defs/VideoInput"}}}}


def test_a_nullable_property_becomes_an_alternative_and_keeps_its_description_outside() -> None:
    members = (parsed().input or {})["properties"]
    assert members["seed"] == {"anyOf": [{"type": "integer"}, {"type": "null"}], "title": "Seed"}
    assert members["root"]["anyOf"][1] == {"type": "null"}
    assert members["root"]["default"] is None


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"nullable": False, "type": "string"}, {"type": "string"}),
        ({"nullable": True}, {}),
        (
            {"nullable": True, "oneOf": [{"type": "string"}]},
            {"oneOf": [{"type": "string"}, {"type": "null"}]},
        ),
        ({"minimum": 0, "exclusiveMinimum": True}, {"exclusiveMinimum": 0}),
        ({"maximum": 9, "exclusiveMaximum": False}, {"maximum": 9}),
        ({"exclusiveMinimum": True}, {}),
        ({"exclusiveMaximum": 3}, {"exclusiveMaximum": 3}),
        ({"default": {"$ref": "no reference"}}, {"default": {"$ref": "no reference"}}),
        ({"enum": [{"nullable": True}]}, {"enum": [{"nullable": True}]}),
        ({"properties": {"nullable": {"type": "string"}}}, {"properties": {"nullable": {"type": "string"}}}),
        ({"additionalProperties": False}, {"additionalProperties": False}),
        ({"$ref": "#/components/schemas/Missing", "title": "T"}, {"title": "T"}),
        ({"$ref": "https://example.com/schema.json"}, {}),
        ({"$ref": "#/components/schemas/File", "title": "T"}, {"$ref": "#/$defs/File", "title": "T"}),
    ],
)
def test_a_property_of_openapi_becomes_a_property_of_a_json_schema(schema: Any, expected: Any) -> None:
    assert input_of({"properties": {"member": schema}})["properties"]["member"] == expected


def test_names_with_slashes_and_tildes_can_be_followed_again() -> None:
    reference = {"$ref": "#/components/schemas/List%5Ba~1b~0%5D"}
    schema = input_of({"properties": {"x": reference}}, **{"List[a/b~]": {"type": "integer"}})
    assert schema["properties"]["x"] == {"$ref": "#/$defs/List[a~1b~0]"}
    assert schema["$defs"] == {"List[a/b~]": {"type": "integer"}}


def test_two_schemas_with_the_same_last_name_get_two_definitions() -> None:
    first, second = "#/components/schemas/File", "#/components/parameters/File"
    served = document(schemas={**SCHEMAS, "VideoInput": {"allOf": [{"$ref": first}, {"$ref": second}]}})
    served["components"]["parameters"] = {"File": {"type": "string"}}
    schema = parse_schema(served, VIDEO).input
    assert schema is not None
    assert schema["allOf"] == [{"$ref": "#/$defs/File"}, {"$ref": "#/$defs/File2"}]
    assert schema["$defs"]["File2"] == {"type": "string"}


def test_definitions_inside_the_schema_are_found_as_pydantic_writes_them() -> None:
    inner = {"$defs": {"A": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/A"}}}
    assert input_of(inner) == inner


@pytest.mark.parametrize(
    "schemas",
    [
        {},
        {"VideoInput": {"$ref": "#/components/schemas/VideoInput"}},
        {"VideoInput": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/VideoInput"}},
        {"VideoInput": "text"},
    ],
)
def test_an_input_that_can_not_be_resolved_is_none(schemas: Any) -> None:
    assert parsed(schemas=schemas).input is None


@pytest.mark.parametrize("served", [{}, {"paths": []}, {"paths": {"/acme/video/edit": {"post": 1}}}])
def test_a_document_without_the_parts_gives_a_schema_without_them(served: Any) -> None:
    schema = parse_schema(served, VIDEO)
    assert (schema.input, schema.output, schema.title) == (None, None, None)
    assert schema.input_fields() == schema.output_fields() == ()


@pytest.mark.parametrize("served", [None, [], "text", 3])
def test_what_is_not_a_document_is_a_decode_error_with_the_endpoint(served: Any) -> None:
    with pytest.raises(ResponseDecodeError, match="acme/video/edit") as caught:
        parse_schema(served, VIDEO)
    assert caught.value.endpoint_id == VIDEO


def test_a_document_that_is_nested_too_deeply_is_a_decode_error() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"items": deep}
    with pytest.raises(ResponseDecodeError, match="too deeply"):
        input_of(deep)


def test_a_schema_survives_pickle_and_deepcopy_and_its_repr_is_short() -> None:
    schema = parsed()
    assert pickle.loads(pickle.dumps(schema)) == schema == copy.deepcopy(schema)
    assert len(repr(schema)) < 400
    assert "LoraWeight" not in repr(schema)


def test_parsing_leaves_the_document_as_it_was() -> None:
    served = document()
    before = copy.deepcopy(served)
    assert parse_schema(served, VIDEO).document == before == served
    assert INPUT["properties"]["seed"] == {"type": "integer", "nullable": True, "title": "Seed"}  # type: ignore[index]


REFERENCES = st.sampled_from([f"#/components/schemas/{name}" for name in [*SCHEMAS, "X"]] + ["#/", "x", ""])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.builds(lambda ref: {"$ref": ref}, REFERENCES),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("properties", "type", "anyOf", "allOf", "items", "required", "enum", "nullable", "ui"),
                    *("exclusiveMinimum", "minimum", "$ref", "default", "description", "examples", "const"),
                    *("additionalProperties", "x-fal-order-properties", "_fal_ui_field", "image_url"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def references_of(value: Any) -> list[Any]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [
            each
            for name in ("properties", "$defs")
            for inner in _members(value, name)
            for each in references_of(inner)
        ]
    return []


def _members(value: dict[str, Any], name: str) -> list[Any]:
    members = value.get(name)
    return list(members.values()) if isinstance(members, dict) else []


@given(VALUES, VALUES)
def test_any_document_gives_a_self_contained_schema_with_readable_fields(schema: Any, other: Any) -> None:
    found = parsed(schemas={**SCHEMAS, "VideoInput": schema, "X": other})
    for field in found.input_fields():
        assert field.type
        assert isinstance(field.limits_text(), str)
    if found.input is not None:
        known = found.input.get("$defs", {})
        assert {each.removeprefix("#/$defs/") for each in references_of(found.input)} <= set(known)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=3))
def test_any_object_is_read_as_a_document_without_an_error(served: Any) -> None:
    assert parse_schema({**served, "paths": served}, VIDEO).endpoint_id == VIDEO
