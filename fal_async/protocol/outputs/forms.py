"""The types that `output_type` accepts: their forms, their parts, and the kinds of JSON they are built from."""

from __future__ import annotations

import collections
import dataclasses
import enum
import inspect
import re
import types
import typing
from collections import abc
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin
from uuid import UUID

import attrs

from fal_async.errors import one_line
from fal_async.records import json_name

Form = Literal[
    "any",
    "null",
    "plain",
    "text",
    "decimal",
    "choice",
    "array",
    "tuple",
    "object",
    "record",
    "union",
    "wrapper",
    "pydantic",
    "msgspec",
    "none",
]
"""The form of a type, which decides how it is built. "none": it can't be built from JSON."""

ARRAYS: Mapping[Any, Callable[[list[Any]], Any]] = {
    **dict.fromkeys(
        (list, abc.Sequence, abc.MutableSequence, abc.Iterable, abc.Collection, abc.Reversible), list
    ),
    **dict.fromkeys((set, abc.MutableSet), set),
    **dict.fromkeys((frozenset, abc.Set), frozenset),
    tuple: tuple,
    collections.deque: collections.deque,
}
"""For each requested type, the function that converts a JSON array to it."""

OBJECTS: Mapping[Any, Callable[[dict[Any, Any]], Any]] = {
    **dict.fromkeys((dict, abc.Mapping, abc.MutableMapping), dict),
    collections.OrderedDict: collections.OrderedDict,
}
"""For each requested type that is not a record, the function that converts a JSON object to it."""

TEXTS: Mapping[Any, Callable[[str], Any]] = {
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    UUID: UUID,
    Path: Path,
}
"""Types that are strings in JSON, and the function that reads each."""

_NOTHING = type(None)
_KINDS: Mapping[Any, str] = {
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    _NOTHING: "null",
    list: "array",
    dict: "object",
}
_EVERY_KIND = frozenset(_KINDS.values())
_WRAPPERS = ("Annotated", "Required", "NotRequired", "ReadOnly", "Final")


def kind_of(value: Any) -> str:
    """Return JSON's name for the kind of a value."""
    return _KINDS.get(type(value), type(value).__name__)


def name_of(into: Any) -> str:
    """Return a type's name as its author wrote it: `Image`, `list[Image]`.

    For a value that is not a type, only the value's type is named, because the value may be an input.
    """
    if get_origin(into) is None:
        if isinstance(into, type):
            return into.__name__
        if type(into).__module__ not in ("typing", "typing_extensions"):
            return f"<{type(into).__name__} value>"
    return one_line(re.sub(r"(?:[\w<>]+\.)+(?=\w)", "", repr(into)), 60)


def wrapped(into: Any) -> Any:
    """Return the type inside a NewType, alias, Annotated, Final or Required; None if it is not such a wrapper."""
    origin = get_origin(into)
    if getattr(origin, "__name__", getattr(origin, "_name", None)) in _WRAPPERS:
        return get_args(into)[0]
    if isinstance(into, typing.NewType):
        return into.__supertype__
    return getattr(into, "__value__", None) if type(into).__name__ == "TypeAliasType" else None


def form_of(into: Any) -> Form:
    """Return the form of a type, which decides how it is built."""
    origin = get_origin(into) or into
    if into is Any:
        return "any"
    if into is None:  # as in list[None]
        return "null"
    if wrapped(into) is not None:
        return "pydantic" if _is_for_pydantic(into) else "wrapper"
    if origin in (Union, types.UnionType):
        return _form_of_union(get_args(into))
    if origin is Literal:
        return "choice"
    if not isinstance(origin, type):
        return "none"
    return _form_of_class(origin, into)


def _form_of_union(members: tuple[Any, ...]) -> Form:
    """Return "pydantic" or "msgspec" for a union of several of its types, which the library can tell apart."""
    forms = {form_of(member) for member in members if member is not _NOTHING}
    several = len(members) - (_NOTHING in members) > 1
    if several and (forms == {"pydantic"} or forms == {"msgspec"}):
        return forms.pop()
    return "union" if members else "none"


def _is_for_pydantic(into: Any) -> bool:
    """Return whether pydantic builds this wrapper: `Annotated` of its types, or with its validators.

    Constraints in `pydantic.Field` are applied by `outputs/constraints.py`, so that other types can have them.
    """
    metadata = getattr(into, "__metadata__", ())
    if any(_is_of_pydantic(type(one)) and type(one).__name__ != "FieldInfo" for one in metadata):
        return True
    return bool(metadata) and form_of(wrapped(into)) == "pydantic"


def _is_of_pydantic(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in ("pydantic", "pydantic_core")


def _library_of(origin: type) -> Form | None:
    """Return the library that builds this class. The library is recognised without importing it."""
    is_model = "__pydantic_validator__" in vars(origin)  # not inherited by a plain dataclass
    if is_model or _is_of_pydantic(origin):
        return "pydantic"
    return "msgspec" if hasattr(origin, "__struct_fields__") else None


def _form_of_class(origin: type, into: Any) -> Form:
    if library := _library_of(origin):
        return library
    if origin is _NOTHING:
        return "null"
    if issubclass(origin, enum.Enum):
        return "choice"
    if attrs.has(origin) or dataclasses.is_dataclass(origin) or is_typed_dict(origin):
        return "record"
    if is_named_tuple(origin) or (origin is tuple and is_fixed(into)):
        return "tuple"
    if origin in ARRAYS:
        return "array"
    if origin in OBJECTS:
        return "object"
    if origin in TEXTS:
        return "text"
    if origin is Decimal:
        return "decimal"
    if issubclass(origin, str | int | float):
        return "plain"
    return "pydantic" if hasattr(origin, "__get_pydantic_core_schema__") else "none"


def is_typed_dict(into: Any) -> bool:
    return typing.is_typeddict(get_origin(into) or into)


def is_named_tuple(into: Any) -> bool:
    return isinstance(into, type) and issubclass(into, tuple) and hasattr(into, "_field_defaults")


def is_fixed(into: Any) -> bool:
    """Return whether a tuple type has a fixed length, as `tuple[()]` has (0), but a bare `tuple` has not."""
    args = get_args(into)
    return args[-1] is not Ellipsis if args else get_origin(into) is tuple and into is not typing.Tuple  # noqa: UP006


def tuple_places(into: Any) -> dict[str, Any]:
    """Return the types of a fixed tuple's items, by name or number."""
    if is_named_tuple(into):
        hints = typing.get_type_hints(into, include_extras=True)
        return {name: hints.get(name, Any) for name in into._fields}
    return {str(index): inner for index, inner in enumerate(get_args(into))}


def choices(into: Any) -> tuple[Any, ...]:
    """Return the members of an Enum, or the values of a Literal."""
    return tuple(into.__members__.values()) if isinstance(into, type) else get_args(into)  # type: ignore[attr-defined]


def plain_choice(option: Any) -> Any:
    """Return the JSON value of a choice."""
    return option.value if isinstance(option, enum.Enum) else option


def json_kinds(into: Any) -> frozenset[str]:
    """Return the kinds of JSON from which this type can be built."""
    form = form_of(into)
    if form == "pydantic" and "root" not in getattr(into, "model_fields", {"root": None}):
        return frozenset({"object"})
    if form == "wrapper":
        return json_kinds(wrapped(into))
    if form == "union":
        return frozenset().union(*map(json_kinds, get_args(into)))
    if form == "choice":
        return _kinds_of_choice(into)
    if form == "plain":
        return frozenset({next(kind for plain, kind in _KINDS.items() if issubclass(into, plain))})
    by_form = {
        "any": _EVERY_KIND,
        "record": {"object"},
        "tuple": {"array"},
        "text": {"string"},
        "decimal": {"string", "number"},
        "pydantic": _EVERY_KIND,
        "msgspec": {"object", "array"},
        "none": (),
    }
    return frozenset(by_form.get(form, {form}))


def _kinds_of_choice(into: Any) -> frozenset[str]:
    if isinstance(into, type) and into._missing_.__func__ is not enum.Enum._missing_.__func__:  # type: ignore[attr-defined]
        return _EVERY_KIND  # its `_missing_` may accept values of any kind
    return _EVERY_KIND & {kind_of(plain_choice(option)) for option in choices(into)}


def fields_of(into: Any) -> dict[str, Any]:
    """Return the fields of a record that `__init__` accepts, with their types; Any for a field with a converter."""
    origin = get_origin(into) or into
    hints, known = typing.get_type_hints(origin, include_extras=True), _type_arguments(into)
    if is_typed_dict(origin):
        return {name: _filled(hint, known) for name, hint in hints.items()}
    made: dict[str, Any] = {}
    fields = _init_fields(origin)
    for field in fields:
        hint = _filled(hints.get(field.name, Any), known)
        converted = getattr(field, "converter", None) is not None and form_of(hint) == "none"
        made[field.name] = Any if converted else hint
    _check_init(origin, {getattr(field, "alias", field.name) for field in fields})
    return made


def json_names(into: Any) -> dict[str, str]:
    """Return the name in JSON of each field of an attrs class or a dataclass."""
    return {field.name: json_name(field) for field in _init_fields(get_origin(into) or into)}


def _init_fields(origin: Any) -> list[Any]:
    fields: Iterable[Any] = attrs.fields(origin) if attrs.has(origin) else dataclasses.fields(origin)
    return [field for field in fields if field.init]


def required_keys(into: Any) -> set[str]:
    """Return the required keys of a TypedDict. Python's own set is wrong if its annotations are strings."""
    typed_dict = get_origin(into) or into
    required: set[str] = set()
    for name, hint in fields_of(into).items():
        marked = getattr(get_origin(hint), "_name", None)
        if marked == "Required" or (marked != "NotRequired" and name in typed_dict.__required_keys__):
            required.add(name)
    return required


def _check_init(origin: type, given: set[str]) -> None:
    """Raise TypeError unless `__init__` can be called with the given names."""
    if inspect.isabstract(origin):
        raise TypeError("it is an abstract class")
    for name, parameter in inspect.signature(origin).parameters.items():
        variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.default is parameter.empty and not variable and name not in given:
            raise TypeError(f"its __init__ requires {name!r}, which is not a field")


def _type_arguments(into: Any) -> dict[Any, Any]:
    """Return the types of a generic record's type variables, including those of its base classes."""
    known = dict(zip(getattr(get_origin(into), "__parameters__", ()), get_args(into), strict=False))
    for base in getattr(get_origin(into) or into, "__orig_bases__", ()):
        known.update(
            {key: _filled(value, known) for key, value in _type_arguments(base).items() if key != value}
        )
    return known


def _filled(hint: Any, known: Mapping[Any, Any]) -> Any:
    """Return the annotation with its type variables replaced by their types."""
    if isinstance(hint, TypeVar):
        return known.get(hint, hint)
    variables = getattr(hint, "__parameters__", ()) if get_origin(hint) is not None else ()
    return hint[tuple(known.get(variable, variable) for variable in variables)] if variables else hint
