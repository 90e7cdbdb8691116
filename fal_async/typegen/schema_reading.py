"""From the JSON schemas of an endpoint's input and output to records, choices and types."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from fal_async.protocol.schemas.endpoint_schema import EndpointSchema
from fal_async.protocol.schemas.schema_fields import (
    SchemaField,
    all_of,
    alternatives,
    fields,
    file_kind,
    name_of,
    resolved,
)
from fal_async.typegen.declarations import (
    ANY,
    ANY_OBJECT,
    FILE,
    NONE,
    Choice,
    Declared,
    EndpointTypes,
    Field,
    Limited,
    NamedChoice,
    Of,
    Record,
    To,
    Type,
    Word,
    either,
    inside,
)
from fal_async.typegen.identifiers import class_name, endpoint_name, words_joined

_WORDS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_NUMBER_LIMITS = {
    "minimum": "ge",
    "exclusiveMinimum": "gt",
    "maximum": "le",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}
_LIMITS = {
    "integer": _NUMBER_LIMITS,
    "number": _NUMBER_LIMITS,
    "string": {"minLength": "min_length", "maxLength": "max_length"},
    "array": {"minItems": "min_length", "maxItems": "max_length"},
}
_LARGEST = 2**63
"""Limits from here on are not checked, because msgspec does not accept them."""
_MAX_DEFAULT = 300
"""Number of characters of a default in a docstring."""
_DEEP = 40
"""Number of types within one another, not counting records, that are read. What is deeper can be anything."""
_MAX_TYPES = 20_000
"""Number of types in a schema that are read, because references can make a short schema very large."""


def endpoint_types(schema: EndpointSchema) -> EndpointTypes:
    """Return the types of an endpoint's input and output."""
    name = endpoint_name(schema.endpoint_id)
    sent = _Reader(root=schema.input or {}, scope=f"{schema.endpoint_id} input", is_input=True)
    received = _Reader(root=schema.output or {}, scope=f"{schema.endpoint_id} output", is_input=False)
    given = sent.read(f"{name}Input", f"Input of `{schema.endpoint_id}`.")
    result = received.read(f"{name}Output", f"Output of `{schema.endpoint_id}`.")
    return EndpointTypes(
        endpoint_id=schema.endpoint_id,
        input=given if isinstance(given, To) else None,
        output=result if isinstance(result, To | Of | Word) and result not in (ANY, NONE) else None,
        declared=sent.declared | received.declared,
    )


@attrs.frozen(kw_only=True)
class _Found:
    """A record that has to be read."""

    to: To
    base: str
    words: str
    schema: Mapping[str, Any]
    around: Mapping[str, To]


@attrs.define(kw_only=True, eq=False)
class _Reader:
    """Reads one schema, and every schema that it refers to once."""

    root: Mapping[str, Any]
    scope: str
    is_input: bool
    declared: dict[To, Declared] = attrs.field(factory=dict, init=False)
    _waiting: list[_Found] = attrs.field(factory=list, init=False)
    """Records that are referred to, and not read yet: how deeply they refer to one another does not matter."""
    _around: Mapping[str, To] = attrs.field(factory=dict, init=False)
    """The records around the field that is being read, by their schemas: one of them may be within itself."""
    _left: int = attrs.field(default=_MAX_TYPES, init=False)
    _open: list[str] = attrs.field(factory=list, init=False)
    """References that are being read: one to itself without a record between is a circle."""

    def read(self, base: str, words: str) -> Type:
        whole = self.root
        if _has_properties(whole, whole) or (whole.get("type") == "object" and "properties" in whole):
            kind: Type = self._record("", base, words, whole)
        else:
            kind = self._type(whole, base, is_file=False)
        while self._waiting:
            found = self._waiting.pop(0)
            self._around = found.around
            self.declared[found.to] = self._read_record(found.base, found.words, found.schema)
        return kind

    def _record(self, name: str, base: str, words: str, schema: Mapping[str, Any]) -> To:
        text = repr(schema)
        to = self._around.get(text, To(self.scope, name))
        if to not in self.declared:
            self.declared[to] = Record(base=base, notes=(), fields=(), is_input=self.is_input)
            around = {**self._around, text: to}
            self._waiting.append(_Found(to=to, base=base, words=words, schema=schema, around=around))
        return to

    def _read_record(self, base: str, words: str, schema: Mapping[str, Any]) -> Record:
        found = fields({**schema, "$defs": self.root.get("$defs", {})})
        return Record(
            base=base,
            notes=tuple(filter(None, [words, _text(schema.get("description"))])),
            fields=tuple(self._field(field, base) for field in found if _is_possible(field.name)),
            is_input=self.is_input,
        )

    def _field(self, field: SchemaField, base: str) -> Field:
        is_file = self.is_input and field.file is not None
        kind = self._type(field.schema, base + words_joined(field.name), is_file=is_file)
        facts = list(_facts(field, kind)) if self.is_input else []
        if field.schema.get("deprecated") is True:
            facts.append("Deprecated.")
        return Field(
            name=field.name,
            type=kind,
            required=field.required,
            has_default=field.has_default and field.default is not None,
            notes=tuple(filter(None, [_text(field.schema.get("description")), " ".join(facts)])),
        )

    def _type(self, schema: Any, base: str, *, is_file: bool) -> Type:
        """Return the type of a value. `base`: the name of its record, if the schema has no other."""
        self._left -= 1
        if len(self._open) > _DEEP or self._left < 0:
            return ANY
        self._open.append("")
        try:
            kinds = alternatives(self.root, schema)
            unnamed = [each for each in kinds if "$ref" not in each and _has_properties(self.root, each)]
            names = {
                id(each): base if len(unnamed) == 1 else f"{base}{n}" for n, each in enumerate(unnamed, 1)
            }
            return either([self._one(each, names.get(id(each), base), is_file) for each in kinds])
        finally:
            self._open.pop()

    def _one(self, schema: Mapping[str, Any], base: str, is_file: bool) -> Type:
        if isinstance(schema.get("$ref"), str):
            return self._reference(name_of(schema["$ref"]), base, is_file)
        if values := _values(schema):
            return _choice(values)
        parts = schema.get("allOf")
        is_alone = isinstance(parts, list) and len(parts) == 1 and "properties" not in schema
        if not is_alone and _has_properties(self.root, schema):
            return self._record(base, _title(schema) or base, "", schema)
        if isinstance(parts, list) and parts:
            return self._type(parts[0], base, is_file=is_file)
        kind = schema.get("type")
        if isinstance(kind, list):
            return either([self._one({**schema, "type": each}, base, is_file) for each in kind])
        return self._limited(self._plain(kind, schema, base, is_file), kind, schema)

    def _plain(self, kind: Any, schema: Mapping[str, Any], base: str, is_file: bool) -> Type:
        if kind == "array":
            return self._array(schema, base, is_file)
        if kind == "object":
            values = schema.get("additionalProperties")
            if not isinstance(values, Mapping):
                return ANY_OBJECT
            is_file = self.is_input and file_kind(self.root, "", values) is not None
            return Of("dict", (Word("str"), self._type(values, f"{base}Value", is_file=is_file)))
        if kind == "string" and is_file:
            return FILE
        return Word(_WORDS.get(kind, "Any")) if isinstance(kind, str) else ANY

    def _array(self, schema: Mapping[str, Any], base: str, is_file: bool) -> Type:
        places = schema.get("prefixItems")
        if isinstance(places, list) and places and schema.get("maxItems") == len(places):
            kinds = [
                self._type(each, f"{base}Item{n}", is_file=is_file) for n, each in enumerate(places, start=1)
            ]
            return Of("tuple", tuple(kinds))
        return Of("list", (self._type(schema.get("items"), f"{base}Item", is_file=is_file),))

    def _limited(self, inner: Type, kind: Any, schema: Mapping[str, Any]) -> Type:
        known = _LIMITS.get(kind, {}) if isinstance(kind, str) and self.is_input else {}
        is_fixed = isinstance(inner, Of) and inner.head == "tuple"
        if inner in (FILE, ANY) or is_fixed:
            return inner
        limits = {
            name: limit
            for word, name in known.items()
            if (limit := _limit(schema.get(word), whole=kind != "number")) is not None
        }
        for inclusive, exclusive in (("ge", "gt"), ("le", "lt")):
            if inclusive in limits:
                limits.pop(exclusive, None)
        if (
            limits.get("multiple_of", 1) <= 0
            or min(limits.get("min_length", 0), limits.get("max_length", 0)) < 0
        ):
            return inner
        return Limited(inner, tuple(limits.items())) if limits else inner

    def _reference(self, name: str, base: str, is_file: bool) -> Type:
        target = resolved(self.root, {"$ref": f"#/$defs/{name}"})
        own = class_name(name) or base
        if _has_properties(self.root, target):
            # A recursive schema refers to itself as one of `$defs`.
            is_root = target == {key: value for key, value in self.root.items() if key != "$defs"}
            return To(self.scope, "") if is_root else self._record(f"#{name}", own, "", target)
        if (values := _values(target)) and isinstance(choice := _choice(values), Choice):
            to = To(self.scope, f"#{name}")
            notes = tuple(filter(None, [_text(target.get("description"))]))
            self.declared[to] = NamedChoice(base=own, notes=notes, choice=choice)
            return to
        if name in self._open:
            return ANY
        self._open.append(name)
        try:
            return self._type(target, own, is_file=is_file)
        finally:
            self._open.pop()


def _has_properties(root: Mapping[str, Any], schema: Any) -> bool:
    return any(
        isinstance(part.get("properties"), Mapping) and part["properties"] for part in all_of(root, schema)
    )


def _title(schema: Mapping[str, Any]) -> str:
    """Return the title of a schema, if it looks like the name of a class."""
    title = schema.get("title")
    return title if isinstance(title, str) and class_name(title) == title else ""


def _values(schema: Mapping[str, Any]) -> list[Any]:
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return values if isinstance(values, list) else []


def _choice(values: list[Any]) -> Type:
    """Return the type of a value that is one of these."""
    literal = tuple(value for value in values if _is_literal(value))
    others = {type(value) for value in values if not _is_literal(value)}
    found: list[Type] = [Choice(literal)] if literal else []
    found += [Word(kind.__name__) for kind in (str, int, float) if kind in others]
    found += [ANY] if list in others or dict in others else []
    return either([*found, NONE] if None in values else found)


def _is_literal(value: Any) -> bool:
    """Return whether a value can stand in a `Literal` of every style: no float, half character, or large int."""
    if isinstance(value, str):
        return all(not "\ud800" <= char <= "\udfff" for char in value)
    return isinstance(value, int) and abs(value) < _LARGEST


def _is_possible(name: str) -> bool:
    """Return whether every style can express a field of this name."""
    return bool(name) and name.isprintable() and '"' not in name and "\\" not in name


def _limit(value: Any, *, whole: bool) -> int | float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    if abs(value) >= _LARGEST or (whole and value != int(value)):
        return None
    return int(value) if whole else value


def _facts(field: SchemaField, kind: Type) -> Iterator[str]:
    """Yield what a docstring says about the values of a field of the input."""
    limits = {name: limit for name, limit in field.limits.items() if name != "format"}
    if words := attrs.evolve(field, limits=limits).limits_text():
        yield f"Allowed: {words}."
    values = field.choices or field.suggestions
    if any(not isinstance(value, str | int | None) for value in values):
        yield f"One of {', '.join(map(_json, values))}."
    if field.has_default and field.default is not None and not _is_constant(kind):
        yield f"fal's default: {_json(field.default)}."


def _is_constant(kind: Type) -> bool:
    return any(isinstance(each, Choice) and len(each.values) == 1 for each in inside(kind))


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_DEFAULT else text[: _MAX_DEFAULT - 3] + "..."


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
