"""Schemas of any origin as JSON schemas of draft 2020-12 that are complete in themselves.

fal's documents are OpenAPI 3.0 with words of later versions (protocol 11.6), and people write schemas by hand. So
this module is lenient: a keyword whose value has the wrong form is left out, and a reference that leads nowhere, or
to another document, allows every value. `$defs` of the result has the schemas that it refers to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

DEFINITIONS = "#/$defs/"
MAX_SCHEMAS = 50_000
"""Schemas within a schema. fal's documents have fewer than a thousand."""
_MAX_DEPTH = 100
_MAX_NUMBER = 1e300
_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_REPEATED_CHOICE = re.compile(r"[*+|}][^()]*\)[*+{]")
_UNLIMITED = re.compile(r"[*+]|\{\d+,\}")
_MAX_UNLIMITED = 3
_INDEX = re.compile(r"[0-9]{1,8}")
_NOTHING: Mapping[str, Any] = {"not": {}}
"""Allows no value, as False does."""
_MISSING: Any = object()


def usable_pattern(value: Any) -> bool:
    """Return whether a pattern can be matched in a short time.

    Python's `re` takes exponential time for some patterns in which a repeated group repeats or chooses, and many
    seconds if there are several unlimited repetitions. Such patterns are not checked, since they would block the
    emulator.
    """
    if not isinstance(value, str) or _REPEATED_CHOICE.search(value):
        return False
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        return False
    return len(_UNLIMITED.findall(value)) <= _MAX_UNLIMITED


def _is_number(value: Any) -> bool:
    # Larger integers can't be compared with floats.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_types(value: Any) -> bool:
    names = [value] if isinstance(value, str) else value
    return _is_names(names) and bool(names) and set(names) <= _TYPES


def _anything(_: Any) -> bool:
    return True


_VALUES: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("title", "description", "format", "contentMediaType"), _is_text),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _is_count
    ),
    **dict.fromkeys(("minContains", "maxContains"), _is_count),
    **dict.fromkeys(("const", "default", "example"), _anything),
    **dict.fromkeys(("enum", "examples"), lambda value: isinstance(value, list | tuple) and bool(value)),
    "type": _is_types,
    "multipleOf": lambda value: _is_number(value) and value > 0,
    "pattern": usable_pattern,
    "uniqueItems": lambda value: isinstance(value, bool),
    "required": _is_names,
    "dependentRequired": lambda value: isinstance(value, Mapping) and all(map(_is_names, value.values())),
}
"""Keywords whose values are not schemas, each with what a valid value is."""
_SCHEMAS = frozenset(
    {"items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else"}
)
_LISTS_OF_SCHEMAS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_NAMED_SCHEMAS = frozenset({"properties", "patternProperties", "dependentSchemas"})
_MARKS = frozenset({"_fal_ui_field", "ui"})
"""How fal marks the inputs that take the URL of a file (protocol 11.6)."""
_ON_THE_WHOLE = frozenset({"title", "description", "default", "example", "examples"})
"""Keywords about a value as a whole, and not about one alternative of its type."""


def normal_schema(schema: Any, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a schema in the form that the rest of this package reads.

    Args:
        schema: the schema; anything that is not a mapping allows every value, except False.
        document: the document that its references lead into. None (default): only the schema itself.

    Raises:
        ValueError: If the schema is nested too deeply, or has too many parts.
    """
    reader = _Reader(schema, document or {})
    found = reader.whole()
    return {**found, "$defs": reader.definitions} if reader.definitions else found


class _Reader:
    """Copies one schema, and collects the schemas that it refers to."""

    def __init__(self, root: Any, document: Mapping[str, Any]) -> None:
        self._root, self._places = root, (root, document)
        self._names: dict[str, str] = {}
        self._to_read: list[tuple[str, Any]] = []
        self._count = self._depth = 0
        self.definitions: dict[str, Any] = {}

    def whole(self) -> dict[str, Any]:
        read = self._read(self._root)
        while self._to_read:
            name, schema = self._to_read.pop()
            self.definitions[name] = self._read(schema)
        if isinstance(read, bool):
            return {} if read else dict(_NOTHING)
        return _followed(read, self.definitions)

    def _read(self, schema: Any) -> dict[str, Any] | bool:
        if not isinstance(schema, Mapping):
            return schema is not False
        self._count += 1
        self._depth += 1
        if self._count > MAX_SCHEMAS or self._depth > _MAX_DEPTH:
            raise ValueError(
                f"the schema has more than {MAX_SCHEMAS:,} parts, or is nested more than {_MAX_DEPTH} deep"
            )
        read: dict[str, Any] = {}
        for name, value in schema.items():
            word = "prefixItems" if name == "items" and isinstance(value, list) else name  # of older drafts
            if isinstance(word, str) and (found := self._keyword(word, value)) is not _MISSING:
                read[word] = found
        self._depth -= 1
        return _with_null(schema, _with_numeric_limits(schema, read))

    def _keyword(self, name: str, value: Any) -> Any:
        if name in _VALUES:
            return _read_value(name, value) if _VALUES[name](value) else _MISSING
        if name in _SCHEMAS and isinstance(value, Mapping | bool):
            return self._read(value)
        if name in _LISTS_OF_SCHEMAS and isinstance(value, list | tuple) and value:
            return [dict(_NOTHING) if one is False else self._read(one) for one in value]
        if name in _NAMED_SCHEMAS and isinstance(value, Mapping):
            usable = usable_pattern if name == "patternProperties" else _is_text
            return {key: self._read(one) for key, one in value.items() if usable(key)}
        if name == "$ref" and isinstance(value, str):
            return self._reference(value)
        return value if name in _MARKS or name.startswith("x-") else _MISSING

    def _reference(self, reference: str) -> Any:
        """Return the reference within `$defs`; `_MISSING` if it leads nowhere."""
        if reference not in self._names:
            found = (_at(place, reference) for place in self._places)
            target = next((one for one in found if isinstance(one, Mapping | bool)), _MISSING)
            if target is _MISSING:
                return _MISSING
            self._names[reference] = self._free_name(reference.rpartition("/")[2])
            self._to_read.append((self._names[reference], target))
        return DEFINITIONS + self._names[reference]

    def _free_name(self, wanted: str) -> str:
        # Without characters that a JSON pointer or an OpenAPI document would not take in a name.
        base = re.sub(r"[^A-Za-z0-9_.-]+", "", unquote(wanted)) or "Schema"
        taken, free, number = set(self._names.values()), base, 2
        while free in taken:
            free, number = f"{base}{number}", number + 1
        return free


def _read_value(name: str, value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return value
    return list(dict.fromkeys(value) if name in ("type", "required") else value)


def _followed(schema: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a schema that is only a reference leads to, so that its title and type can be read."""
    seen: set[str] = set()
    while (reference := schema.get("$ref")) is not None and reference not in seen:
        seen.add(reference)
        target = definitions[definition_of(reference)]
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        if not isinstance(target, dict) or beside.keys() - _ON_THE_WHOLE:
            break
        schema = {**target, **beside}
    return schema


def definition_of(reference: str) -> str:
    """Return the name within `$defs` that a reference of a normal schema leads to."""
    return reference.removeprefix(DEFINITIONS)


def resolved(root: Mapping[str, Any], schema: Any) -> dict[str, Any]:
    """Follow the references that a part of the normal schema `root` consists of; {} if they end nowhere."""
    seen: set[str] = set()
    around: dict[str, Any] = {}
    while isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if reference is None:
            return {**schema, **around}
        if reference in seen:
            return around
        seen.add(reference)
        around = {name: value for name, value in schema.items() if name != "$ref"} | around
        schema = root.get("$defs", {}).get(definition_of(reference))
    return around


def is_null(schema: Any) -> bool:
    """Return whether a schema allows only null."""
    return isinstance(schema, Mapping) and schema.get("type") == "null"


def _at(value: Any, reference: str) -> Any:
    """Return what a local reference such as `#/components/schemas/Name` leads to, else `_MISSING`."""
    if reference == "#":
        return value
    if not reference.startswith("#/"):
        return _MISSING
    for token in reference[2:].split("/"):
        name = unquote(token).replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, list) and _INDEX.fullmatch(name) and int(name) < len(value):
            value = value[int(name)]
        else:
            return _MISSING
    return value


def _with_numeric_limits(schema: Mapping[str, Any], read: dict[str, Any]) -> dict[str, Any]:
    """Replace OpenAPI 3.0's `exclusiveMinimum: true`, which makes `minimum` exclusive, by a number."""
    for exclusive, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if schema.get(exclusive) is True and limit in read:
            read[exclusive] = read.pop(limit)
    return read


def _with_null(schema: Mapping[str, Any], read: dict[str, Any]) -> dict[str, Any]:
    """Replace OpenAPI 3.0's `nullable: true` by an alternative `{"type": "null"}`."""
    if schema.get("nullable") is not True:
        return read
    for several in ("anyOf", "oneOf"):
        if several in read:
            return {**read, several: [*read[several], {"type": "null"}]}
    about = {
        name: value for name, value in read.items() if name in _ON_THE_WHOLE or name.startswith(("x-", "_"))
    }
    kind = {name: value for name, value in read.items() if name not in about}
    return {**about, "anyOf": [kind, {"type": "null"}]} if kind else about
