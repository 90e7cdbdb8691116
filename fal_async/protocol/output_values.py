"""How each form of type is built from JSON.

cattrs makes the records, tells unions of them apart, and says where something did not fit. The rest is built here:
cattrs would call `str`, `list` or `dict` on whatever comes: null became "None", and a text a list of letters.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from typing import Any, get_args, get_origin

from fal_async.errors import one_line
from fal_async.protocol.constraints import check_constraints
from fal_async.protocol.output_types import (
    ARRAYS,
    OBJECTS,
    TEXTS,
    Form,
    choices,
    fields_of,
    form_of,
    is_named_tuple,
    json_kinds,
    kind_of,
    name_of,
    plain_choice,
    required_keys,
    tuple_places,
    wrapped,
)

_Build = Callable[[Any], Any]


def build(value: Any, into: Any) -> Any:
    """Decoded JSON as an `into`. Raises ValueError, cattrs' groups, and what a class of the caller's raises."""
    return builder(into)(value)


@lru_cache(maxsize=4096)
def builder(into: Any) -> _Build:
    """What builds this type."""
    return _BUILDERS[form_of(into)](into)


def _inner(into: Any) -> _Build:
    """What builds a type within another. It is looked up when it is first needed: a type may refer to itself."""
    found: _Build | None = None

    def made(value: Any) -> Any:
        nonlocal found
        if found is None:
            found = builder(into)
        return found(value)

    return made


def _misfit(expected: str, value: Any) -> ValueError:
    """What came is of another kind than what is asked for."""
    return ValueError(f"expected {expected}, got {kind_of(value)}")


# Plain values: nothing is made of what was not sent.


def _as_it_is(_: Any) -> _Build:
    return lambda value: value


def _null(_: Any) -> _Build:
    def made(value: Any) -> None:
        if value is not None:
            raise _misfit("null", value)

    return made


def _plain(into: Any) -> _Build:
    (kind,) = json_kinds(into)
    whole = issubclass(into, int)

    def made(value: Any) -> Any:
        if kind_of(value) != kind:
            raise _misfit(name_of(into), value)
        # 5.0 is a whole number, as whoever wrote the JSON may see it; 5.5 is none.
        if whole and isinstance(value, float) and not value.is_integer():
            raise ValueError(f"expected {name_of(into)}, got {value!r}")
        return value if type(value) is into else into(value)

    return made


def _from_text(into: Any) -> _Build:
    read = TEXTS[into]

    def made(value: Any) -> Any:
        if not isinstance(value, str):
            raise _misfit(f"{name_of(into)} as text", value)
        return read(value)

    return made


def _choice(into: Any) -> _Build:
    options = choices(into)
    shown = one_line(", ".join(repr(plain_choice(option)) for option in options), 100)
    has_more = isinstance(into, type) and "array" in json_kinds(into)

    def made(value: Any) -> Any:
        for option in options:
            plain = plain_choice(option)
            if kind_of(plain) == kind_of(value) and plain == value:
                return option
        if has_more:
            return into(value)
        raise ValueError(f"expected one of {shown}, got {one_line(repr(value), 40)}")

    return made


# Arrays and objects.


def _array(into: Any) -> _Build:
    make, item_built = ARRAYS[get_origin(into) or into], _inner((get_args(into) or (Any,))[0])

    def made(value: Any) -> Any:
        if not isinstance(value, list):
            raise _misfit("an array", value)
        return make(_each(item_built, enumerate(value), into))

    return made


def _tuple(into: Any) -> _Build:
    places = [_inner(place) for place in tuple_places(into).values()]
    named = is_named_tuple(into)
    least = len(places) - (len(into._field_defaults) if named else 0)

    def made(value: Any) -> Any:
        if not isinstance(value, list):
            raise _misfit("an array", value)
        if not least <= len(value) <= len(places):
            raise ValueError(f"expected an array of {len(places)}, got one of {len(value)}")
        built = _each(lambda pair: pair[0](pair[1]), enumerate(zip(places, value, strict=False)), into)
        return into(*built) if named else tuple(built)

    return made


def _object(into: Any) -> _Build:
    make = OBJECTS[get_origin(into) or into]
    name_built, item_built = map(_inner, get_args(into) or (Any, Any))

    def made(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _misfit("an object", value)
        pairs = ((name, (name, item)) for name, item in value.items())
        return make(dict(_each(lambda pair: (name_built(pair[0]), item_built(pair[1])), pairs, into)))

    return made


def _each(make: _Build, items: Iterable[tuple[str | int, Any]], into: Any) -> list[Any]:
    """All items built. What does not fit is told together, each with its index, in the form that cattrs knows."""
    from cattrs.errors import IterableValidationError, IterableValidationNote

    built, errors = [], []
    for index, item in items:
        try:
            built.append(make(item))
        except Exception as error:
            error.add_note(IterableValidationNote("", index, Any))
            errors.append(error)
    if errors:
        raise IterableValidationError("", errors, into)
    return built


def _record(into: Any) -> _Build:
    from cattrs.gen import make_dict_structure_fn, override

    if typing.is_typeddict(get_origin(into) or into):
        return _typed_dict(into)

    def hook(inner: Any) -> Callable[[Any, Any], Any]:
        built = _inner(inner)
        return lambda value, _: built(value)

    hooks: dict[str, Any] = {
        name: override(struct_hook=hook(inner)) for name, inner in fields_of(into).items()
    }
    make = make_dict_structure_fn(into, _converter(), **hooks)

    def made(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _misfit("an object", value)
        return make(value, into)

    return made


def _typed_dict(into: Any) -> _Build:
    # Not by cattrs: where annotations are texts, it takes a NotRequired key for a required one.
    from cattrs.errors import AttributeValidationNote, ClassValidationError

    fields, required = {name: _inner(inner) for name, inner in fields_of(into).items()}, required_keys(into)

    def made(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _misfit("an object", value)
        built, errors = dict(value), []
        for name in (name for name in fields if name in value or name in required):
            try:
                built[name] = fields[name](value[name])
            except Exception as error:
                error.add_note(AttributeValidationNote("", name, into))
                errors.append(error)
        if errors:
            raise ClassValidationError("", errors, into)
        return built

    return made


@cache
def _converter() -> Any:
    # Imported on first use: a script that never asks for types doesn't pay for it.
    from cattrs import Converter

    return Converter()


# Types made of others.


def _union(into: Any) -> _Build:
    from cattrs.disambiguators import create_default_dis_func

    members, records = get_args(into), [member for member in get_args(into) if form_of(member) == "record"]
    tell = create_default_dis_func(_converter(), *records) if len(records) > 1 else None

    def made(value: Any) -> Any:
        if type(value) in members and not isinstance(value, list | dict):  # 5.0 stays one in `int | float`
            return value
        fitting = [member for member in members if kind_of(value) in json_kinds(member)]
        if tell is not None and isinstance(value, dict):
            record = _told(tell, value, into)
            fitting = [member for member in fitting if member not in records or member is record]
        return _first_that_fits(value, fitting, into)

    return made


def _told(tell: Callable[[Any], Any], value: Any, into: Any) -> Any:
    try:
        return tell(value)
    except Exception as error:
        raise ValueError(f"nothing tells which of {name_of(into)} it is") from error


def _first_that_fits(value: Any, members: list[Any], into: Any) -> Any:
    for member in members[:-1]:
        try:
            return build(value, member)
        except Exception:
            continue
    if not members:
        raise _misfit(name_of(into), value)
    return build(value, members[-1])


def _wrapper(into: Any) -> _Build:
    inner, metadata = _inner(wrapped(into)), getattr(into, "__metadata__", ())

    def made(value: Any) -> Any:
        built = inner(value)
        check_constraints(built, metadata)
        return built

    return made


_BUILDERS: dict[Form, Callable[[Any], _Build]] = {
    "any": _as_it_is,
    "null": _null,
    "plain": _plain,
    "text": _from_text,
    "choice": _choice,
    "array": _array,
    "tuple": _tuple,
    "object": _object,
    "record": _record,
    "union": _union,
    "wrapper": _wrapper,
}
