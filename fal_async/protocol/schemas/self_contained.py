"""Parts of an OpenAPI 3.0 document as JSON schemas (draft 2020-12) that need nothing else of the document.

References lead to `#/$defs/Name`, and `$defs` holds these schemas. A recursive schema refers to itself in this way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import attrs

_MISSING: Any = object()
_BY_NAME = frozenset({"properties", "patternProperties", "dependentSchemas"})
"""Keywords whose value is a mapping of schemas."""
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SINGLE = frozenset(
    {
        *("items", "additionalProperties", "additionalItems", "contains", "propertyNames", "not"),
        *("if", "then", "else", "unevaluatedItems", "unevaluatedProperties"),
    }
)
"""Keywords whose value is a schema. The values of all other keywords are data, in which "$ref" has no meaning."""
_WRITTEN_ANEW = frozenset({"$ref", "$defs", "definitions", "$id", "$schema", "$anchor"})
"""Keywords about references, which lead to other places in the new schema."""
_ON_THE_WHOLE = frozenset({"title", "description", "default", "example", "examples", "deprecated", "ui"})
"""Keywords that describe a property as a whole, and not one alternative of its type."""


def self_contained(document: Mapping[str, Any], schema: Any) -> dict[str, Any] | None:
    """Return a schema of the document as a JSON schema of its own; None if there is none.

    If the schema is a reference, it is replaced by the schema that it refers to. References that can't be followed
    (to other documents, or to missing schemas) become schemas that allow every value.
    """
    found = _followed(document, schema)
    if found is None:
        return None
    reader = _Reader(document=document, root=found)
    whole = reader.read_object(found)
    return {**whole, "$defs": reader.definitions} if reader.definitions else whole


def _followed(document: Mapping[str, Any], schema: Any) -> Mapping[str, Any] | None:
    """Follow the references that a schema consists of. Return None if they end nowhere."""
    seen: set[str] = set()
    around: dict[str, Any] = {}
    while isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return {**schema, **around}
        if reference in seen:
            return None
        seen.add(reference)
        around = {name: value for name, value in schema.items() if name != "$ref"} | around
        schema = _at(document, reference)
    return None


def _at(document: Any, reference: str) -> Any:
    """Return the value that a local reference such as `#/components/schemas/Name` leads to, else `_MISSING`."""
    if not reference.startswith("#/"):
        return _MISSING
    value = document
    for token in tokens_of(reference):
        if isinstance(value, Mapping) and token in value:
            value = value[token]
        elif isinstance(value, list) and token.isascii() and token.isdigit() and int(token) < len(value):
            value = value[int(token)]
        else:
            return _MISSING
    return value


def tokens_of(reference: str) -> list[str]:
    """Return the names in a local reference such as `#/$defs/Name`."""
    tokens = reference.removeprefix("#/").split("/")
    return [unquote(token).replace("~1", "/").replace("~0", "~") for token in tokens]


@attrs.define(kw_only=True, eq=False)
class _Reader:
    """Copies one schema, and collects the schemas that it refers to."""

    document: Mapping[str, Any]
    root: Mapping[str, Any]
    definitions: dict[str, Any] = attrs.field(factory=dict, init=False)
    _names: dict[str, str] = attrs.field(factory=dict, init=False)

    def read_object(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        read = {
            name: self._keyword(name, value) for name, value in schema.items() if name not in _WRITTEN_ANEW
        }
        if isinstance(schema.get("$ref"), str):
            read = self._reference(schema["$ref"]) | read
        return _with_null(_with_numeric_limits(read))

    def _keyword(self, name: str, value: Any) -> Any:
        if name in _BY_NAME and isinstance(value, Mapping):
            return {key: self._schema(each) for key, each in value.items()}
        if (name in _LISTS or name in _SINGLE) and isinstance(value, list):
            return [self._schema(each) for each in value]
        return self._schema(value) if name in _SINGLE else value

    def _schema(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return self.read_object(value)
        return value if isinstance(value, bool) else {}

    def _reference(self, reference: str) -> dict[str, Any]:
        """Return the reference within `$defs`; {} if it leads nowhere."""
        name = self._names.get(reference)
        if name is None:
            target = _at(self.document, reference)
            if target is _MISSING:
                target = _at(self.root, reference)  # as pydantic writes it, relative to the schema
            if not isinstance(target, Mapping):
                return {}
            name = self._names[reference] = self._free_name(tokens_of(reference)[-1])
            self.definitions[name] = {}  # it stands before those that it refers to, and recursion finds it
            self.definitions[name] = self.read_object(target)
        return {"$ref": "#/$defs/" + name.replace("~", "~0").replace("/", "~1")}

    def _free_name(self, name: str) -> str:
        taken, number = set(self._names.values()), 2
        free = name
        while free in taken:
            free, number = f"{name}{number}", number + 1
        return free


def _with_numeric_limits(schema: dict[str, Any]) -> dict[str, Any]:
    """Replace OpenAPI 3.0's `exclusiveMinimum: true`, which makes `minimum` exclusive, by a number."""
    for exclusive, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(exclusive), bool) and schema.pop(exclusive) and limit in schema:
            schema[exclusive] = schema.pop(limit)
    return schema


def _with_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Replace OpenAPI 3.0's `nullable: true` by an alternative `{"type": "null"}`."""
    if not isinstance(schema.get("nullable"), bool):
        return schema
    if not schema.pop("nullable"):
        return schema
    for several in ("anyOf", "oneOf"):
        if isinstance(schema.get(several), list):
            return {**schema, several: [*schema[several], {"type": "null"}]}
    whole = {name: value for name, value in schema.items() if _is_on_the_whole(name)}
    alternative = {name: value for name, value in schema.items() if not _is_on_the_whole(name)}
    return {"anyOf": [alternative, {"type": "null"}], **whole} if alternative else whole


def _is_on_the_whole(name: str) -> bool:
    return name in _ON_THE_WHOLE or name.startswith(("x-", "_"))
