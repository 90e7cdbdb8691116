"""The JSON schemas of a workflow's input and output, and the defaults of its input (protocol 15.3): pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WORDS = frozenset({"string", "number", "integer", "boolean", "object", "array"})
_SAME = ("description", "default", "examples", "enum", "minimum", "maximum")
"""Members of a field that mean the same in a JSON schema."""


def object_schema(fields: Any) -> dict[str, Any]:
    """Return the schema of an object with the fields of `schema.input` or `schema.output`.

    A field whose type is not one of the known forms may have any value.
    """
    given = {name: field for name, field in fields.items() if isinstance(field, Mapping)}
    return {
        "type": "object",
        "properties": {name: _property(field) for name, field in given.items()},
        "required": [name for name, field in given.items() if field.get("required") is True],
    }


def defaults_of(fields: Any) -> dict[str, Any]:
    """Return the default values of the fields that have one."""
    return {n: f["default"] for n, f in fields.items() if isinstance(f, Mapping) and "default" in f}


def _property(field: Mapping[str, Any]) -> dict[str, Any]:
    schema = {**_type(field.get("type")), **{name: field[name] for name in _SAME if name in field}}
    title = field.get("label", field.get("name"))
    return {**schema, "title": title} if isinstance(title, str) else schema


def _type(kind: Any) -> dict[str, Any]:
    if isinstance(kind, Mapping) and kind.get("kind") == "list":
        return {"type": "array", "items": _type(kind.get("elementType"))}
    return {"type": kind} if isinstance(kind, str) and kind in _WORDS else {}
