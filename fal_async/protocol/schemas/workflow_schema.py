"""The schema of a workflow, read from its definition: fal publishes no OpenAPI document for private ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fal_async.protocol.schemas.endpoint_schema import EndpointSchema

_TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array"})
_KEPT = ("description", "default", "examples", "enum", "minimum", "maximum", "ui", "_fal_ui_field")


def workflow_schema(definition: Mapping[str, Any], endpoint_id: str) -> EndpointSchema:
    """Return the schemas in a workflow's definition (protocol 15.3). Parts that it lacks are None."""
    schema = _mapping(definition.get("schema"))
    return EndpointSchema(
        endpoint_id=endpoint_id,
        input=_object(schema.get("input")),
        output=_object(schema.get("output")),
        category="workflow",
        document=definition,
    )


def _object(members: Any) -> dict[str, Any] | None:
    """Return the JSON schema of an object with these fields of a workflow."""
    if not isinstance(members, Mapping):
        return None
    properties = {str(name): _property(member) for name, member in members.items()}
    required = [str(name) for name, member in members.items() if _mapping(member).get("required") is True]
    return {"type": "object", "properties": properties, "required": required}


def _property(member: Any) -> dict[str, Any]:
    field = _mapping(member)
    label = {"title": field["label"]} if isinstance(field.get("label"), str) else {}
    return {**_type(field.get("type")), **label, **{name: field[name] for name in _KEPT if name in field}}


def _type(kind: Any) -> dict[str, Any]:
    """Return `{"type": ...}` for a type of a workflow: a word, or `{"kind": "list", "elementType": ...}`."""
    if isinstance(kind, Mapping):
        items = _type(kind.get("elementType"))
        return {"type": "array", "items": items} if kind.get("kind") == "list" else {}
    return {"type": kind} if isinstance(kind, str) and kind in _TYPES else {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
