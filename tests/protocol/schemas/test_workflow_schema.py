"""The schema of a workflow, from its definition (protocol 15.3)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.protocol.schemas.input_keys import key_problems
from fal_async.protocol.schemas.workflow_schema import workflow_schema

ID = "workflows/me/my-flow"
DEFINITION: dict[str, Any] = {
    "name": "my-flow",
    "version": "1",
    "nodes": {},
    "output": {"image": "$node.images.0.url"},
    "schema": {
        "input": {
            "prompt": {
                "name": "prompt",
                "label": "Prompt",
                "type": "string",
                "required": True,
                "modelId": "node",
            },
            "image_urls": {"type": {"kind": "list", "elementType": "string"}, "required": False},
            "count": {"type": "number", "default": 5, "description": "How many."},
            "style": {"type": "StyleOfALaterVersion"},
        },
        "output": {"image": {"name": "image", "type": "string"}},
    },
}


def test_the_fields_of_a_definition_become_the_properties_of_an_object() -> None:
    schema = workflow_schema(DEFINITION, ID)
    assert schema.input == {
        "type": "object",
        "properties": {
            "prompt": {"type": "string", "title": "Prompt"},
            "image_urls": {"type": "array", "items": {"type": "string"}},
            "count": {"type": "number", "default": 5, "description": "How many."},
            "style": {},
        },
        "required": ["prompt"],
    }
    assert schema.output == {"type": "object", "properties": {"image": {"type": "string"}}, "required": []}
    assert (schema.endpoint_id, schema.category, schema.document) == (ID, "workflow", DEFINITION)
    described = {field.name: (field.type, field.file) for field in schema.input_fields()}
    assert described["image_urls"] == ("list[str]", "image")


def test_an_input_is_compared_with_a_workflow_as_with_a_model() -> None:
    schema = workflow_schema(DEFINITION, ID).input
    assert schema is not None
    assert key_problems(schema, ["prompt", "count"]) == ""
    assert key_problems(schema, ["promt"]) == "unknown key 'promt' (did you mean 'prompt'?)"


@pytest.mark.parametrize("definition", [{}, {"schema": None}, {"schema": {"input": []}}])
def test_a_definition_without_a_schema_gives_none(definition: Any) -> None:
    assert workflow_schema(definition, ID).input is None


def test_a_workflow_without_inputs_allows_every_key() -> None:
    schema = workflow_schema({"schema": {"input": {}}}, ID).input
    assert schema is not None
    assert key_problems(schema, ["anything"]) == ""


VALUES = st.recursive(
    st.none() | st.booleans() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "kind", "elementType", "required", "label", "a"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(VALUES)
def test_any_definition_is_read_without_an_error(members: Any) -> None:
    for field in workflow_schema({"schema": {"input": members, "output": members}}, ID).input_fields():
        assert field.type
