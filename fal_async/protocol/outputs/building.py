"""Building each form of type from JSON.

cattrs builds records, distinguishes the members of unions of them, and reports the places that do not fit. The
other forms are built here, because cattrs would call `str`, `list` or `dict` on any value: null would become
"None", and a string a list of its characters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from typing import Any, Union, get_args, get_origin

from fal_async.protocol.outputs.choosing import chooser
from fal_async.protocol.outputs.constraints import check_constraints
from fal_async.protocol.outputs.forms import (
    ARRAYS,
    OBJECTS,
    Form,
    fields_of,
    form_of,
    is_named_tuple,
    is_typed_dict,
    json_kinds,
    json_names,
    kind_of,
    name_of,
    required_keys,
    tuple_places,
    wrapped,
)
from fal_async.protocol.outputs.plain import Build, as_it_is, choice, decimal, from_text, misfit, null, plain


def build(value: Any, into: Any) -> Any:
    """Build an `into` from decoded JSON.

    Raises ValueError, cattrs' exception groups, and any exception of the caller's own classes.
    """
    return builder(into)(value)


@lru_cache(maxsize=4096)
def builder(into: Any) -> Build:
    """Return the function that builds this type."""
    return _BUILDERS[form_of(into)](into)


def _inner(into: Any) -> Build:
    """Return a builder for a nested type. It is looked up on first use, because a type may refer to itself."""
    found: Build | None = None

    def made(value: Any) -> Any:
        nonlocal found
        if found is None:
            found = builder(into)
        return found(value)

    return made


# Arrays and objects.


def _array(into: Any) -> Build:
    make, item_built = ARRAYS[get_origin(into) or into], _inner((get_args(into) or (Any,))[0])

    def made(value: Any) -> Any:
        if not isinstance(value, list):
            raise misfit("an array", value)
        return make(_each(item_built, enumerate(value), into))

    return made


def _tuple(into: Any) -> Build:
    places = [_inner(place) for place in tuple_places(into).values()]
    named = is_named_tuple(into)
    least = len(places) - (len(into._field_defaults) if named else 0)

    def made(value: Any) -> Any:
        if not isinstance(value, list):
            raise misfit("an array", value)
        if not least <= len(value) <= len(places):
            raise ValueError(f"expected an array of length {len(places)}, got length {len(value)}")
        built = _each(lambda pair: pair[0](pair[1]), enumerate(zip(places, value, strict=False)), into)
        return into(*built) if named else tuple(built)

    return made


def _object(into: Any) -> Build:
    make = OBJECTS[get_origin(into) or into]
    name_built, item_built = map(_inner, get_args(into) or (Any, Any))

    def made(value: Any) -> Any:
        if not isinstance(value, dict):
            raise misfit("an object", value)
        pairs = ((name, (name, item)) for name, item in value.items())
        return make(dict(_each(lambda pair: (name_built(pair[0]), item_built(pair[1])), pairs, into)))

    return made


def _each(make: Build, items: Iterable[tuple[str | int, Any]], into: Any) -> list[Any]:
    """Build all items. Errors of several items are raised together, with the indexes, in the form of cattrs."""
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


def _record(into: Any) -> Build:
    from cattrs.gen import make_dict_structure_fn, override

    if is_typed_dict(into):
        return _typed_dict(into)

    def hook(inner: Any) -> Callable[[Any, Any], Any]:
        built = _inner(inner)
        return lambda value, _: built(value)

    names = json_names(into)
    hooks: dict[str, Any] = {
        name: override(struct_hook=hook(inner), rename=names[name]) for name, inner in fields_of(into).items()
    }
    make = make_dict_structure_fn(into, _converter(), **hooks)

    def made(value: Any) -> Any:
        if not isinstance(value, dict):
            raise misfit("an object", value)
        return make(value, into)

    return made


def _typed_dict(into: Any) -> Build:
    # Not built by cattrs, which treats a NotRequired key as required if the annotations are strings.
    from cattrs.errors import AttributeValidationNote, ClassValidationError

    fields, required = {name: _inner(inner) for name, inner in fields_of(into).items()}, required_keys(into)

    def made(value: Any) -> Any:
        if not isinstance(value, dict):
            raise misfit("an object", value)
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
    # Imported on first use, so that a script without output types does not pay for it.
    from cattrs import Converter

    return Converter()


# Types composed of others.


def _pydantic(into: Any) -> Build:
    from fal_async.protocol.outputs.pydantic_types import pydantic_type

    return pydantic_type(into)


def _msgspec(into: Any) -> Build:
    from fal_async.protocol.outputs.msgspec_types import msgspec_type

    return msgspec_type(into, builder)


def _members(into: Any) -> tuple[Any, ...]:
    """Return the members of a union. Those of pydantic become one, and those of msgspec."""
    members = get_args(into)
    for form in ("pydantic", "msgspec"):
        of_library = tuple(member for member in members if form_of(member) == form)
        if len(of_library) > 1:
            members = (*(member for member in members if member not in of_library), Union[of_library])  # noqa: UP007
    return members


def _union(into: Any) -> Build:
    members = _members(into)
    # TypedDicts are tried in order, because each keeps all keys of the object, whichever of them is chosen.
    records = [member for member in members if form_of(member) == "record" and not is_typed_dict(member)]
    choose = chooser(records)

    def made(value: Any) -> Any:
        # A value of exactly one of the types is kept: 5.0 stays a float in `int | float`.
        if type(value) in members and not isinstance(value, list | dict):
            return value
        fitting = [member for member in members if kind_of(value) in json_kinds(member)]
        if choose is not None and isinstance(value, dict):
            record = _chosen(choose, value, into)
            fitting = [member for member in fitting if member not in records or member is record]
        return _first_that_fits(value, fitting, into)

    return made


def _chosen(choose: Callable[[Any], Any], value: Any, into: Any) -> Any:
    try:
        return choose(value)
    except Exception as error:
        raise ValueError(f"its fields do not show which of {name_of(into)} it is") from error


def _first_that_fits(value: Any, members: list[Any], into: Any) -> Any:
    for member in members[:-1]:
        try:
            return build(value, member)
        except Exception:
            continue
    if not members:
        raise misfit(name_of(into), value)
    return build(value, members[-1])


def _wrapper(into: Any) -> Build:
    inner, metadata = _inner(wrapped(into)), getattr(into, "__metadata__", ())

    def made(value: Any) -> Any:
        built = inner(value)
        check_constraints(built, metadata)
        return built

    return made


_BUILDERS: dict[Form, Callable[[Any], Build]] = {
    "any": as_it_is,
    "null": null,
    "plain": plain,
    "text": from_text,
    "decimal": decimal,
    "choice": choice,
    "array": _array,
    "tuple": _tuple,
    "object": _object,
    "record": _record,
    "union": _union,
    "wrapper": _wrapper,
    "pydantic": _pydantic,
    "msgspec": _msgspec,
}
