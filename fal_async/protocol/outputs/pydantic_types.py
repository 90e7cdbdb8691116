"""Building types of pydantic 2: models, its dataclasses, and types that only pydantic can read, such as `HttpUrl`.

pydantic is imported only here, for types that the caller made with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fal_async.protocol.outputs.placed_errors import MISSING, Place, placed_error

_INNER = {
    "model": "schema",
    "dataclass": "schema",
    "nullable": "schema",
    "function-after": "schema",
    "lax-or-strict": "lax_schema",
    "json-or-python": "json_schema",
    "list": "items_schema",
    "tuple": "items_schema",
    "set": "items_schema",
    "frozenset": "items_schema",
    "dict": "values_schema",
}
"""For each kind of pydantic's schemas that has one inner schema, the member with it."""


def pydantic_type(into: Any) -> Callable[[Any], Any]:
    """Return the function that builds the type. It validates the data as JSON, as `model_validate_json` does.

    Raises TypeError if it can't be built from JSON, and pydantic's exceptions if it is not completely defined.
    """
    from pydantic import TypeAdapter, ValidationError

    adapter = TypeAdapter(into)
    if hasattr(adapter, "rebuild"):  # pydantic 2.10 and newer: names the class that is not defined yet
        adapter.rebuild()
    for place, kind in _unbuildable(adapter.core_schema, "", {}):
        raise TypeError(f"{place or 'it'} is {kind}, which pydantic can't read from JSON")

    def build(value: Any) -> Any:
        try:
            return _validated(adapter, value)
        except ValidationError as error:
            raise placed_error(list(_problems(error, value)), into) from None

    return build


def _validated(adapter: Any, value: Any) -> Any:
    """Validate decoded JSON. As JSON text, because strict models accept a date or a tuple only there."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):  # bytes, or an int of too many digits
        return adapter.validate_python(value)
    from pydantic import ValidationError

    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        if error.errors(include_url=False, include_input=False)[0]["type"] != "json_invalid":
            raise
    return adapter.validate_python(value)  # with a lone surrogate, which pydantic's parser refuses


def _problems(error: Any, value: Any) -> Iterator[tuple[Place, Exception]]:
    for found in error.errors(include_url=False, include_input=False, include_context=False):
        missing = found["type"] in ("missing", "missing_argument")
        yield _place(found["loc"], value, missing), ValueError(MISSING if missing else found["msg"])


def _place(names: tuple[str | int, ...], value: Any, missing: bool) -> Place:
    """Return the place in the data. pydantic's own has further names, such as that of the class of a union."""
    place: list[str | int] = []
    for name in names:
        known: Any = (
            value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
        )
        if name in known:
            place.append(name)
            value = known[name]
    return (*place, *names[-1:]) if missing else tuple(place)


def _unbuildable(schema: Any, place: str, known: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each required value, with its place, that pydantic accepts only as an instance of a class.

    `known`: pydantic's definitions that other schemas refer to. One that was read is removed.
    """
    kind = schema["type"]
    if kind in ("is-instance", "is-subclass", "callable"):
        name = getattr(schema.get("cls"), "__name__", kind)
        yield place, f"type[{name}]" if kind == "is-subclass" else name
    elif kind == "definitions":
        known = {definition["ref"]: definition for definition in schema["definitions"]}
        yield from _unbuildable(schema["schema"], place, known)
    elif kind == "definition-ref":
        if (definition := known.pop(schema["schema_ref"], None)) is not None:
            yield from _unbuildable(definition, place, known)
    elif kind in ("model-fields", "typed-dict", "dataclass-args"):
        for name, field in _fields(schema["fields"]):
            # A field with a default may be missing in the data.
            if field["schema"]["type"] != "default" and field.get("required", True):
                yield from _unbuildable(field["schema"], f"{place}.{name}".lstrip("."), known)
    elif kind in _INNER:
        inner = schema.get(_INNER[kind], ())
        for one in (inner,) if isinstance(inner, Mapping) else inner:
            yield from _unbuildable(one, place, known)


def _fields(fields: Any) -> Iterator[tuple[str, Any]]:
    yield from fields.items() if isinstance(fields, Mapping) else ((field["name"], field) for field in fields)
