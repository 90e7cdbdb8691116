"""Records (attrs values, dataclasses, msgspec Structs, pydantic models), and their fields under JSON names."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

import attrs

JSON_NAME = "fal_name"
"""Key in the `metadata` of a field of an attrs class or a dataclass, for its name in JSON, such as "class"."""


class Null(enum.Enum):
    """The type of `NULL`, for annotations such as `seed: int | Null | None = None`."""

    NULL = None

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "NULL"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        # With `use_enum_values`, pydantic would replace NULL by its value None, which is not sent.
        schema = handler(source)
        return schema["schema"] if schema["type"] == "function-after" else schema


NULL: Final = Null.NULL
"""A record field with this value is sent as null. A field that is None is not sent."""


def is_record(value: Any) -> bool:
    """Return whether `value` is an attrs value, a dataclass, a msgspec Struct or a pydantic model."""
    kind = type(value)  # if `value` is a class, this is `type`, which is not a record
    return (
        attrs.has(kind)
        or hasattr(kind, "__dataclass_fields__")
        or hasattr(kind, "__struct_fields__")
        or hasattr(kind, "model_dump")
    )


def field_names(value: Any) -> dict[str, str]:
    """Return the names of a record's fields by their names in JSON; an empty dict if it is not a record."""
    kind: Any = type(value)
    if attrs.has(kind):
        return {json_name(field): field.name for field in attrs.fields(kind)}
    if hasattr(kind, "__dataclass_fields__"):
        return {json_name(field): name for name, field in kind.__dataclass_fields__.items()}
    if hasattr(kind, "__struct_fields__"):
        return dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))
    known = getattr(kind, "model_fields", {}).items()
    extra = {name: name for name in getattr(value, "__pydantic_extra__", None) or ()}
    return extra | {field.serialization_alias or field.alias or name: name for name, field in known}


def fields_of(value: Any, *, to_send: bool) -> Any:
    """Return the fields of a record under their names in JSON, with their values unconverted.

    For a pydantic model whose root is not an object, return the root.

    `to_send`: whether to omit fields that are None, so that a new field of the class does not change the input, and
    fields of an attrs class or a dataclass that are not arguments of its `__init__`.
    """
    kind = type(value)
    if attrs.has(kind):
        fields = _values_of(value, attrs.fields(kind), computed=not to_send)
    elif hasattr(kind, "__dataclass_fields__"):
        import dataclasses  # loaded already by the module that defines the dataclass

        fields = _values_of(value, dataclasses.fields(value), computed=not to_send)
    elif hasattr(kind, "__struct_fields__"):
        fields = _of_struct(value)
    else:
        # Not mode="json", which turns paths into plain strings and masks secrets.
        return _of_model(value.model_dump(by_alias=True, warnings=False, exclude_none=to_send), value)
    return {name: field for name, field in fields.items() if field is not None} if to_send else fields


def _of_model(dumped: Any, value: Any) -> Any:
    """Return pydantic's dump of `value`, with the objects, such as files, that pydantic replaced by iterators."""
    if is_named(dumped, "pydantic_core", "SerializationIterator"):
        return value
    if isinstance(dumped, dict):
        inner = _inner_of(value)
        fields = {
            name: _of_model(item, inner[name]) if name in inner else item for name, item in dumped.items()
        }
        if not isinstance(value, Mapping):
            return fields
        # `exclude_none` also drops None from TypedDicts, which are not records.
        return fields | {name: None for name, item in value.items() if item is None}
    if isinstance(dumped, list | tuple) and isinstance(value, list | tuple) and len(dumped) == len(value):
        return [_of_model(item, before) for item, before in zip(dumped, value, strict=True)]
    return dumped


def _inner_of(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    inner = {name: getattr(value, field, None) for name, field in field_names(value).items()}
    return {**getattr(value, "__dict__", {}), **(getattr(value, "__pydantic_extra__", None) or {}), **inner}


def is_named(value: Any, package: str, *names: str) -> bool:
    """Return whether the class of `value`, or a base of it, has one of these names and is from this package."""
    return any(
        kind.__name__ in names and kind.__module__.partition(".")[0] == package
        for kind in type(value).__mro__
    )


def _values_of(value: Any, fields: Any, computed: bool) -> dict[str, Any]:
    return {json_name(field): getattr(value, field.name) for field in fields if computed or field.init}


def json_name(field: Any) -> str:
    """Return the name in JSON of a field of an attrs class or a dataclass."""
    name: str = field.metadata.get(JSON_NAME, field.name)
    return name


def _of_struct(value: Any) -> dict[str, Any]:
    fields = {name: getattr(value, field) for name, field in field_names(value).items()}
    config = type(value).__struct_config__
    tag = {} if config.tag is None else {config.tag_field: config.tag}
    return tag | {
        name: field for name, field in fields.items() if not is_named(field, "msgspec", "UnsetType")
    }
