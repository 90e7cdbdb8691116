"""The fields of an object's JSON schema, described in a flat and readable way, for tables and generated types."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from fal_async.protocol.schemas.self_contained import tokens_of

_WORDS = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "object": "dict",
    "array": "list",
    "null": "None",
}
_LIMITS = (
    *("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "minItems", "maxItems", "uniqueItems", "format"),
)
_FILE_KINDS = {
    "image": r"image|img|mask|photo|picture|frame",
    "video": r"video",
    "audio": r"audio|music|speech|voice|sound",
    "file": r"file",
}
_URL_NAME = r"(?:^|_)urls?$"
_PAGE_NAME = r"(?:^|_)(?:webhook|callback|redirect|base|api|site|website|page|web)_urls?$"
_DEEP = 20
"""Number of nested references that are followed; a longer chain is probably a circle."""


@attrs.frozen(kw_only=True)
class SchemaField:
    """One field of a model's input or output, as its schema describes it.

    Attributes:
        name: its name in JSON.
        type: its type in Python's words, without None, such as `"str"`, `"list[LoraWeight]"`, `"ImageSize | str"`.
        required: whether it must be given; default False.
        nullable: whether it may be null; default False.
        has_default: whether the schema states the value that the model uses if the field is missing; default False.
        default: this value; None (default) without one.
        description: what it means. None (default): the schema does not say.
        choices: the allowed values; () (default) if other values are allowed, too.
        suggestions: named values of a field that also allows others, such as the names of image sizes beside width
            and height; () (default) without any.
        limits: the constraints under their names in JSON schema, such as `{"minimum": 1, "maximum": 4}`; default
            none.
        file: "image", "video", "audio" or "file" if the field takes the URL of a file, or a list of such URLs, so
            that files can be passed instead. None (default): it does not.
        examples: values that the schema gives as examples; () (default) without any.
        schema: its JSON schema, whose references belong to the whole schema; default empty.
    """

    name: str
    type: str
    required: bool = False
    nullable: bool = False
    has_default: bool = False
    default: Any = None
    description: str | None = None
    choices: tuple[Any, ...] = ()
    suggestions: tuple[Any, ...] = ()
    limits: Mapping[str, Any] = attrs.field(factory=dict)
    file: str | None = None
    examples: tuple[Any, ...] = attrs.field(default=(), repr=False)
    schema: Mapping[str, Any] = attrs.field(factory=dict, repr=False)

    def limits_text(self) -> str:
        """Return the constraints in words.

        Returns:
            One line, such as `"1 to 4"` or `"at most 2000 characters"`; "" without constraints.
        """
        return limit_words(self.limits)


def fields(schema: Mapping[str, Any] | None) -> tuple[SchemaField, ...]:
    """Return the fields of a self-contained schema of an object, in fal's order; () if it has none."""
    if schema is None:
        return ()
    required = required_names(schema)
    return tuple(
        _field(schema, name, member, name in required) for name, member in ordered_properties(schema)
    )


def ordered_properties(schema: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the properties of an object's schema, in the order of `x-fal-order-properties`, then the others.

    The parts of `allOf` are included. A property whose schema is not an object has the schema {}.
    """
    found = {
        name: member if isinstance(member, Mapping) else {}
        for part in all_of(schema, schema)
        for name, member in _mapping(part, "properties").items()
    }
    order = [name for name in _texts(schema.get("x-fal-order-properties")) if name in found]
    return [(name, found[name]) for name in dict.fromkeys([*order, *found])]


def required_names(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the required properties of an object's schema, those in `allOf` included."""
    return frozenset(name for part in all_of(schema, schema) for name in _texts(part.get("required")))


def all_of(root: Mapping[str, Any], schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas that a value must fit together: the parts of `allOf`, then the schema itself.

    Each reference is followed once, because schemas can refer to themselves, or to others very often.
    """
    return _all_of(root, schema, set())


def _all_of(root: Mapping[str, Any], schema: Any, followed: set[str]) -> Iterator[Mapping[str, Any]]:
    reference = schema.get("$ref") if isinstance(schema, Mapping) else None
    if isinstance(reference, str):
        if reference in followed:
            return
        followed.add(reference)
    whole = resolved(root, schema)
    for part in _list(whole.get("allOf")):
        yield from _all_of(root, part, followed)
    yield whole


def resolved(root: Mapping[str, Any], schema: Any) -> Mapping[str, Any]:
    """Return the schema that a reference leads to in `root`, or the schema itself; {} if it is not an object."""
    for _ in range(_DEEP):
        reference = schema.get("$ref") if isinstance(schema, Mapping) else None
        if not isinstance(reference, str):
            break
        schema = _mapping(root, "$defs").get(name_of(reference))
    return schema if isinstance(schema, Mapping) else {}


def name_of(reference: str) -> str:
    """Return the name of the schema that a reference leads to: `Name` of `#/$defs/Name`."""
    return tokens_of(reference)[-1]


def alternatives(root: Mapping[str, Any], schema: Any, depth: int = _DEEP) -> list[Mapping[str, Any]]:
    """Return the members of `anyOf` or `oneOf`, nested ones included, or the schema alone. References stay."""
    whole = schema if isinstance(schema, Mapping) else {}
    members = _list(whole.get("anyOf")) or _list(whole.get("oneOf"))
    if not members or not depth:
        return [whole]
    return [each for member in members for each in alternatives(root, member, depth - 1)]


def file_kind(root: Mapping[str, Any], name: str, schema: Mapping[str, Any]) -> str | None:
    """Return "image", "video", "audio" or "file" if a property takes the URL of a file, or a list of them.

    fal marks such properties by `_fal_ui_field` or `ui.field` (protocol 11.6); others are recognised by their name,
    such as `image_url`. Return None for other properties.
    """
    texts = [part for part in _item_schemas(root, schema) if part.get("type") == "string"]
    if not any("enum" not in part for part in texts):
        return None
    for part in (schema, *texts):
        if marked := _kind_in(_mark(part)):
            return marked
    if not re.search(_URL_NAME, name) or re.search(_PAGE_NAME, name):
        return None
    return _kind_in(name) or "file"


def _field(root: Mapping[str, Any], name: str, schema: Mapping[str, Any], required: bool) -> SchemaField:
    all_kinds = alternatives(root, schema)
    kinds = [each for each in all_kinds if each.get("type") != "null"]
    choices = [_choices(resolved(root, each)) for each in kinds]
    values = _joined(choices)
    is_closed = bool(choices) and all(choices)
    return SchemaField(
        name=name,
        type=type_text(root, schema),
        required=required,
        nullable=len(kinds) < len(all_kinds) or any(_takes_null(resolved(root, each)) for each in kinds),
        has_default="default" in schema,
        default=schema.get("default"),
        description=_line(schema.get("description") or resolved(root, schema).get("description")),
        choices=values if is_closed else (),
        suggestions=() if is_closed else values,
        limits={limit: value for each in kinds for limit, value in _limits(resolved(root, each))},
        file=file_kind(root, name, schema),
        examples=_examples(schema),
        schema=schema,
    )


def _takes_null(schema: Mapping[str, Any]) -> bool:
    return "null" in _list(schema.get("type")) or None in _choices(schema)


def type_text(root: Mapping[str, Any], schema: Any, depth: int = _DEEP) -> str:
    """Return the type of a value in Python's words, without None; "Any" if the schema does not say."""
    kinds = [each for each in alternatives(root, schema) if each.get("type") != "null"]
    words = dict.fromkeys(_one_type(root, each, depth - 1) for each in kinds)
    return " | ".join(words) or "Any"


def _one_type(root: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> str:
    if isinstance(schema.get("$ref"), str):
        return name_of(schema["$ref"])
    parts, kind = _list(schema.get("allOf")), schema.get("type")
    if len(parts) == 1 and depth > 0:
        return type_text(root, parts[0], depth)
    if kind == "array" and depth > 0 and isinstance(schema.get("items"), Mapping):
        items = type_text(root, schema["items"], depth)
        return "list" if items == "Any" else f"list[{items}]"
    if kind == "object" and depth > 0 and isinstance(schema.get("additionalProperties"), Mapping):
        return f"dict[str, {type_text(root, schema['additionalProperties'], depth)}]"
    if isinstance(kind, list):
        return " | ".join(_WORDS.get(str(each), "Any") for each in kind if each != "null") or "Any"
    if kind is None and (values := _choices(schema)):
        return " | ".join(dict.fromkeys(type(value).__name__ for value in values if value is not None))
    return "dict" if kind is None and "properties" in schema else _WORDS.get(str(kind), "Any")


def _item_schemas(root: Mapping[str, Any], schema: Any) -> list[Mapping[str, Any]]:
    """Return the alternatives of a value, and of the items if it is a list, with references resolved."""
    found = []
    for each in alternatives(root, schema):
        kind = resolved(root, each)
        items = alternatives(root, kind["items"]) if kind.get("type") == "array" and "items" in kind else []
        found += [kind, *(resolved(root, item) for item in items)]
    return found


def _mark(schema: Mapping[str, Any]) -> str:
    return f"{schema.get('_fal_ui_field', '')} {_mapping(schema, 'ui').get('field', '')}".lower()


def _kind_in(text: str) -> str | None:
    return next((kind for kind, pattern in _FILE_KINDS.items() if re.search(pattern, text)), None)


def _choices(schema: Mapping[str, Any]) -> list[Any]:
    return [schema["const"]] if "const" in schema else _list(schema.get("enum"))


def _joined(groups: list[list[Any]]) -> tuple[Any, ...]:
    """Return the values of all groups once each. JSON's values need not be hashable, and 1 is not True."""
    found: dict[str, Any] = {}
    for value in (value for group in groups for value in group):
        found.setdefault(repr(value), value)
    return tuple(found.values())


def limit_words(limits: Mapping[str, Any]) -> str:
    """Return constraints, under their names in JSON schema, in words; "" if none of them is known."""
    return ", ".join(_limit_words(limits))


def _limits(schema: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, schema[name]) for name in _LIMITS if name in schema]


def _limit_words(limits: Mapping[str, Any]) -> Iterator[str]:
    yield from _range_words(limits.get("minimum"), limits.get("maximum"), "")
    if "exclusiveMinimum" in limits:
        yield f"more than {limits['exclusiveMinimum']}"
    if "exclusiveMaximum" in limits:
        yield f"less than {limits['exclusiveMaximum']}"
    if "multipleOf" in limits:
        yield f"a multiple of {limits['multipleOf']}"
    yield from _range_words(limits.get("minLength"), limits.get("maxLength"), " characters")
    yield from _range_words(limits.get("minItems"), limits.get("maxItems"), " items")
    yield from (f"{name}: {limits[name]}" for name in ("pattern", "format") if name in limits)


def _range_words(least: Any, most: Any, unit: str) -> Iterator[str]:
    if least is not None and most is not None:
        yield f"{least}{unit}" if least == most else f"{least} to {most}{unit}"
    elif least is not None:
        yield f"at least {least}{unit}"
    elif most is not None:
        yield f"at most {most}{unit}"


def _examples(schema: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(_list(schema.get("examples"))) or ((schema["example"],) if "example" in schema else ())


def _line(text: Any) -> str | None:
    return " ".join(text.split()) or None if isinstance(text, str) else None


def _mapping(schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = schema.get(name)
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [each for each in _list(value) if isinstance(each, str)]
