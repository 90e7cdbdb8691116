"""The schema of an endpoint: `GET fal.ai/api/openapi/queue/openapi.json` (protocol 11.6)."""

from __future__ import annotations

import enum
from typing import Any, Literal

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator
from pydantic import BaseModel, Field

from fal_async.emulator.operations.openapi_schemas import components_of
from tests.emulator.caller import Caller

PATH = "/fal.ai/api/openapi/queue/openapi.json"
FLUX = "fal-ai/flux/dev"
BUILT_IN = (
    FLUX,
    "fal-ai/flux/schnell",
    "fal-ai/any-llm",
    "fal-ai/fast-lcm-diffusion",
    "fal-ai/flux-lora-fast-training",
)


async def document_of(caller: Caller, endpoint_id: str) -> dict[str, Any]:
    document: dict[str, Any] = (await caller.get(PATH, params={"endpoint_id": endpoint_id}, headers={})).data
    OpenAPIV30SpecValidator(document).validate()
    return document


def schema_of(document: dict[str, Any], what: str, endpoint_id: str = FLUX) -> dict[str, Any]:
    """Return the schema of the input or the output."""
    if what == "input":
        part = document["paths"][f"/{endpoint_id}"]["post"]["requestBody"]
    else:
        part = document["paths"][f"/{endpoint_id}/requests/{{request_id}}"]["get"]["responses"]["200"]
    name = part["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name]
    return found


@pytest.mark.parametrize("endpoint_id", BUILT_IN)
async def test_the_document_of_a_built_in_model_is_valid_and_complete(
    caller: Caller, endpoint_id: str
) -> None:
    document = await document_of(caller, endpoint_id)
    assert document["info"]["x-fal-metadata"]["endpointId"] == endpoint_id
    assert len(document["paths"]) == 4
    for what in ("input", "output"):
        schema = schema_of(document, what, endpoint_id)
        assert schema["title"]
        assert schema["x-fal-order-properties"] == list(schema["properties"])
        assert all(one["title"] and one["description"] for one in schema["properties"].values())


async def test_the_document_of_flux_has_defaults_limits_words_and_references(caller: Caller) -> None:
    schema = schema_of(await document_of(caller, FLUX), "input")
    fields = schema["properties"]
    assert schema["required"] == ["prompt"]
    assert (fields["num_images"]["minimum"], fields["num_images"]["maximum"]) == (1, 4)
    assert (fields["num_inference_steps"]["default"], fields["seed"]["nullable"]) == (28, True)
    size, named = fields["image_size"]["anyOf"]
    assert size == {"$ref": "#/components/schemas/ImageSize"}
    assert (fields["image_size"]["default"], "square_hd" in named["enum"]) == ("landscape_4_3", True)


async def test_a_model_without_schemas_takes_any_object_and_names_its_schemas_after_its_id(
    caller: Caller,
) -> None:
    @caller.emulator.endpoint("me/big-model/v2")
    async def model(input: Any) -> Any:
        return input

    document = await document_of(caller, "me/big-model/v2")
    assert document["components"]["schemas"]["BigModelV2Input"] == {"type": "object"}
    assert document["components"]["schemas"]["BigModelV2Output"] == {}


@pytest.mark.parametrize("query", [{"endpoint_id": "me/nothing"}, {}], ids=str)
async def test_an_unknown_endpoint_has_no_document(caller: Caller, query: dict[str, str]) -> None:
    none = await caller.get(PATH, params=query, headers={})
    assert (none.status, none.body) == (404, b"null")


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


class Node(BaseModel):
    name: str = Field(examples=["root"])
    children: list[Node] = []


class Request(BaseModel):
    kind: Literal["tree"] = "tree"
    mode: Mode | None = None
    node: Node = Field(description="The root.")
    other: Node | None = None
    ratio: float = Field(gt=0, lt=1)
    pair: tuple[int, str] = (1, "a")
    extra: dict[str, int | None] = {}
    seed: int | None = Field(default=None, ge=0)


async def test_the_schemas_of_pydantic_models_become_a_valid_document(caller: Caller) -> None:
    @caller.emulator.endpoint(
        "me/tree", input_schema=Request.model_json_schema(), output_schema=Node.model_json_schema()
    )
    async def tree(input: Any) -> Any:
        return input

    document = await document_of(caller, "me/tree")
    schemas = document["components"]["schemas"]
    fields = schemas["Request"]["properties"]
    assert fields["kind"]["enum"] == ["tree"]
    assert (fields["seed"]["type"], fields["seed"]["nullable"], fields["seed"]["minimum"]) == (
        "integer",
        True,
        0,
    )
    assert (fields["ratio"]["minimum"], fields["ratio"]["exclusiveMinimum"]) == (0, True)
    node = {"$ref": "#/components/schemas/Node"}
    assert fields["node"] == {"description": "The root.", "allOf": [node]}
    assert fields["other"] == {"default": None, "nullable": True, "allOf": [node]}
    assert schemas["Node"]["properties"]["children"]["items"] == node
    assert schemas["Node"]["properties"]["name"]["example"] == "root"


def test_definitions_of_one_name_with_different_contents_stay_apart() -> None:
    part = {
        "$defs": {"Part": {"type": "string"}, "In": {"type": "object"}},
        "properties": {"a": {"$ref": "#/$defs/Part"}},
    }
    other = {
        "definitions": {"Part": {"type": "integer"}},
        "items": {"$ref": "#/definitions/Part"},
        "type": "array",
    }
    components = components_of({"In": part, "Out": other})
    assert components["Part"] == {"type": "string"}
    assert components["OutPart"] == {"type": "integer"}
    assert components["Out"]["items"] == {"$ref": "#/components/schemas/OutPart"}
    assert components["InIn"] == {"type": "object"}
    assert components["In"]["properties"]["a"] == {"$ref": "#/components/schemas/Part"}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (True, {}),
        (False, {"not": {}}),
        ({"type": ["string", "null"]}, {"nullable": True, "type": "string"}),
        ({"type": ["string", "array"]}, {"anyOf": [{"type": "string"}, {"type": "array", "items": {}}]}),
        ({"type": "array"}, {"items": {}, "type": "array"}),
        ({"const": 1, "required": [], "if": {}}, {"enum": [1]}),
        ({"minimum": 0, "exclusiveMaximum": 5}, {"minimum": 0, "maximum": 5, "exclusiveMaximum": True}),
        ({"oneOf": [{"type": "null"}]}, {"nullable": True}),
        (
            {"not": {"type": "null"}, "additionalProperties": False},
            {"additionalProperties": False, "not": {"nullable": True}},
        ),
        ({"$ref": "#"}, {"$ref": "#/components/schemas/A"}),
        ({"x-fal": 1, "properties": {"a": True}}, {"x-fal": 1, "properties": {"a": {}}}),
    ],
    ids=str,
)
def test_a_schema_is_said_in_the_words_of_openapi_3_0(schema: Any, said: dict[str, Any]) -> None:
    inner = components_of({"A": {"properties": {"a": schema}}})["A"]["properties"]["a"]
    assert inner == said


RESULTS = (
    (FLUX, {"prompt": "x", "image_size": "square"}),
    ("fal-ai/any-llm", {"prompt": "x"}),
    ("fal-ai/fast-lcm-diffusion", {"prompt": "x", "size": 64}),
    ("fal-ai/flux-lora-fast-training", {"images_data_url": "https://a/b.zip", "steps": 1}),
)


@pytest.mark.parametrize(("endpoint_id", "input"), RESULTS, ids=lambda value: str(value)[:30])
async def test_inputs_and_results_of_the_built_in_models_fit_their_schemas(
    caller: Caller, endpoint_id: str, input: dict[str, Any]
) -> None:
    document = await document_of(caller, endpoint_id)
    result = (await caller.run(endpoint_id, input)).data
    for what, value in (("input", input), ("output", result)):
        schema = {
            **nullable(schema_of(document, what, endpoint_id)),
            "components": nullable(document["components"]),
        }
        jsonschema.Draft202012Validator(schema).validate(value)


def nullable(part: Any) -> Any:
    """Return a part of an OpenAPI 3.0 document whose nullable types include null, as in JSON Schema."""
    if isinstance(part, list):
        return [nullable(one) for one in part]
    if not isinstance(part, dict):
        return part
    said = {name: nullable(one) for name, one in part.items()}
    return (
        {**said, "type": [said["type"], "null"]} if said.get("nullable") is True and "type" in said else said
    )
