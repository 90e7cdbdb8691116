"""JSON schemas as the schemas of an OpenAPI 3.0 document, whose dialect is older (protocol 11.6).

Definitions within a schema move to the components of the document. A null as one of several types becomes
`nullable`. Words that OpenAPI 3.0 does not have are left out, or are said in its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fal_async.emulator.schemas.normal_schema import is_null

COMPONENTS = "#/components/schemas/"
_DEFINITIONS = ("$defs", "definitions")
_KEPT = frozenset(
    {
        "title",
        "multipleOf",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "maxLength",
        "minLength",
        "pattern",
        "maxItems",
        "minItems",
        "uniqueItems",
        "maxProperties",
        "minProperties",
        "description",
        "format",
        "default",
        "nullable",
        "discriminator",
        "readOnly",
        "writeOnly",
        "example",
        "externalDocs",
        "deprecated",
    }
)
"""The words of a schema that have the same meaning in OpenAPI 3.0."""
_BORDERS = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
Rename = Callable[[str], str]
"""Returns where a reference leads in the document."""


def components_of(schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return these schemas and their definitions, by name.

    A definition keeps its name, unless another definition or schema has it.
    """
    known, components = dict(schemas), dict[str, Any]()
    for root, schema in schemas.items():
        inner = {name: one for word in _DEFINITIONS for name, one in schema.get(word, {}).items()}
        names = {
            name: name if known.setdefault(name, one) == one else root + name for name, one in inner.items()
        }
        rename = partial(_renamed, root, names)
        components[root] = as_openapi(schema, rename)
        components |= {names[name]: as_openapi(one, rename) for name, one in inner.items()}
    return components


def _renamed(root: str, names: Mapping[str, str], reference: str) -> str:
    """Return where a reference within the schema `root` leads in the document."""
    place, _, name = reference.rpartition("/")
    if place in [f"#/{word}" for word in _DEFINITIONS]:
        return COMPONENTS + names.get(name, name)
    return COMPONENTS + root if reference == "#" else reference


def as_openapi(schema: Any, rename: Rename) -> dict[str, Any]:
    """Return a schema in the dialect of OpenAPI 3.0."""
    if not isinstance(schema, Mapping):
        return {"not": {}} if schema is False else {}
    found: dict[str, Any] = {
        name: value for name, value in schema.items() if name in _KEPT or name.startswith("x-")
    }
    if "const" in schema:
        found["enum"] = [schema["const"]]
    for name in ("enum", "required"):
        if schema.get(name):
            found[name] = list(schema[name])
    if "example" not in found and schema.get("examples"):
        found["example"] = schema["examples"][0]
    for border, limit in _BORDERS.items():
        if not isinstance(found.get(border, False), bool):
            found |= {limit: found[border], border: True}
    found |= _parts(schema, rename)
    return _typed(found, schema, rename)


def _parts(schema: Mapping[str, Any], rename: Rename) -> dict[str, Any]:
    """Return the schemas within a schema."""
    parts: dict[str, Any] = {}
    if "properties" in schema:
        parts["properties"] = {name: as_openapi(one, rename) for name, one in schema["properties"].items()}
    if "additionalProperties" in schema:
        more = schema["additionalProperties"]
        parts["additionalProperties"] = more if isinstance(more, bool) else as_openapi(more, rename)
    if "items" in schema or schema.get("type") == "array":
        # A tuple is an array of any of its items' types.
        members = [as_openapi(one, rename) for one in schema.get("prefixItems", ())]
        parts["items"] = {"anyOf": members} if members else as_openapi(schema.get("items", {}), rename)
    if "not" in schema:
        parts["not"] = as_openapi(schema["not"], rename)
    return parts


def _typed(found: dict[str, Any], schema: Mapping[str, Any], rename: Rename) -> dict[str, Any]:
    """Add the type, the alternatives and the reference of a schema."""
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    if "null" in kinds:
        found["nullable"] = True
        kinds = [kind for kind in kinds if kind != "null"]
    if len(kinds) == 1:
        found["type"] = kinds[0]
    elif kinds:
        found["anyOf"] = [{"type": kind, **({"items": {}} if kind == "array" else {})} for kind in kinds]
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            found |= _alternatives(word, schema[word], rename)
    if "$ref" in schema:
        reference = {"$ref": rename(schema["$ref"])}
        # OpenAPI 3.0 ignores what stands beside a reference.
        found = {**found, "allOf": [reference]} if found else reference
    return found


def _alternatives(word: str, schemas: Any, rename: Rename) -> dict[str, Any]:
    others = [as_openapi(one, rename) for one in schemas if not is_null(one)]
    nullable = {"nullable": True} if len(others) < len(schemas) else {}
    if len(others) == 1 and nullable:
        return {**({"allOf": others} if "$ref" in others[0] else others[0]), **nullable}
    return {word: others, **nullable} if others else nullable
