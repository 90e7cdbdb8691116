"""From JSON to typed values: the check before a request is paid for, and the building of its output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, TypeVar, get_args, get_origin

from fal_async.errors import ConfigurationError, ResponseDecodeError
from fal_async.protocol.outputs.building import build, builder
from fal_async.protocol.outputs.forms import (
    ARRAYS,
    OBJECTS,
    fields_of,
    form_of,
    json_kinds,
    name_of,
    tuple_places,
    wrapped,
)

_MAX_PATHS = 20
_MAX_WORDS = 140
"""Characters of what an error says: its path comes behind, and must not be cut off."""
_WAY_OUT = "expected an attrs class, a dataclass or a TypedDict, of such and of plain values"


def check_output_type(into: Any) -> None:
    """ConfigurationError where nothing can be built as this: told before the request is paid for."""
    if into is not None:
        try:
            _checked(into)
        except TypeError as error:  # it can't be hashed
            raise _unbuildable(into, into, "$", str(error) if json_kinds(into) else _way_out(into)) from None


@lru_cache(maxsize=1024)
def _checked(into: Any) -> None:
    for place, part in _parts_of(into):
        try:
            builder(part)
        except Exception as error:  # cattrs' own, such as classes of a union that it can't tell apart
            raise _unbuildable(into, part, place, str(error)) from error


def _parts_of(into: Any) -> Iterator[tuple[str, Any]]:
    """Every type that `into` is made of, itself first, each once and with its place, such as `$.images[].url`.

    ConfigurationError for the first one that no JSON becomes.
    """
    return _parts(into, into, "$", set())


def _parts(whole: Any, into: Any, place: str, seen: set[Any]) -> Iterator[tuple[str, Any]]:
    inside: Iterable[tuple[str, Any]] = ()
    try:
        if into in seen:  # types may refer to themselves
            return
        seen.add(into)
        buildable = form_of(into) not in ("none", "choice") or json_kinds(into)
        why = None if buildable else _way_out(into)
        if why is None:
            inside = _inside(into, place)
    except Exception as error:  # also whatever annotations raise, which are evaluated here
        why = str(error) or type(error).__name__
    if why is not None:
        raise _unbuildable(whole, into, place, why)
    yield place, into
    for where, inner in inside:
        yield from _parts(whole, inner, where, seen)


def _unbuildable(whole: Any, into: Any, place: str, why: str) -> ConfigurationError:
    where = "it" if into is whole else f"{place} is {name_of(into)}, which"
    return ConfigurationError(f"output_type={name_of(whole)}: {where} can't be built from JSON: {why}")


def _inside(into: Any, place: str) -> Iterable[tuple[str, Any]]:
    form, args = form_of(into), get_args(into)
    if form == "record":
        return [(f"{place}.{name}", inner) for name, inner in fields_of(into).items()]
    if form == "tuple":
        return [(f"{place}[{name}]", inner) for name, inner in tuple_places(into).items()]
    if form == "object" and args and "text" not in json_kinds(args[0]):
        raise TypeError("the keys of a JSON object are str")
    if form == "array" and args and _is_set(into) and not _is_hashable(args[0]):
        raise TypeError("its elements can't be hashed: take list")
    if form in ("array", "object"):
        return [(f"{place}[]", inner) for inner in args if inner is not Ellipsis]
    if form == "wrapper":
        return [(place, wrapped(into))]
    return [(place, inner) for inner in args] if form == "union" else ()


def _is_set(into: Any) -> bool:
    return ARRAYS[get_origin(into) or into] in (set, frozenset)


def _is_hashable(into: Any) -> bool:
    """Whether what is built as this type can be in a set."""
    origin = get_origin(into) or into
    return getattr(ARRAYS.get(origin, OBJECTS.get(origin, origin)), "__hash__", None) is not None


def _way_out(into: Any) -> str:
    """What to write in place of a type that no JSON becomes."""
    if isinstance(into, TypeVar):
        return "it is an open type variable: name the type, as in Box[int]"
    if isinstance(into, str):
        return "it is a str: give the type itself"
    if isinstance(into, type) and issubclass(into, bytes | bytearray | memoryview):
        return "JSON has no bytes: take str, and decode it"
    if hasattr(into, "model_validate"):
        return f"it is a pydantic model: take {name_of(into)}.model_validate(result.data)"
    return _WAY_OUT


def structure(data: Any, into: Any, *, request_id: str | None = None, endpoint_id: str | None = None) -> Any:
    """`data` as an `into` that `check_output_type` passed.

    ResponseDecodeError with readable `paths` where it does not fit; its `__context__` has the errors of the
    caller's own classes.
    """
    from cattrs import transform_error

    try:
        return build(data, into)
    except Exception as error:
        paths = transform_error(error, path="$", format_exception=_said)[:_MAX_PATHS]
        raise ResponseDecodeError(
            f"the output is no {name_of(into)}: {paths[0]}",
            paths=paths,
            body=data,
            request_id=request_id,
            endpoint_id=endpoint_id,
        ) from None


def _said(error: BaseException, into: Any) -> str:
    """What the error says; of a key that cattrs looked for in vain, nothing but its name."""
    if isinstance(error, KeyError) and into is not None:
        return "required field missing"
    # attrs' validators put the attribute, the type and the value behind their message.
    message = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    return message[:_MAX_WORDS] or type(error).__name__
