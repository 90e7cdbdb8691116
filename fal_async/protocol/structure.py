"""Building typed values from JSON: the check of `output_type` before a request is sent, and the output's values."""

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
from fal_async.protocol.outputs.placed_errors import MISSING

_MAX_PATHS = 20
_MAX_WORDS = 140
"""Maximum number of characters of one problem, so that the path after it is not cut off."""
_SUPPORTED = "expected a type of attrs, dataclasses, TypedDict, pydantic or msgspec, or a plain type"


def check_output_type(into: Any) -> None:
    """Raise ConfigurationError if the type can't be built from JSON. Called before the request is sent."""
    if into is not None:
        try:
            _checked(into)
        except TypeError as error:  # it is not hashable
            raise _unbuildable(into, into, "$", str(error) if json_kinds(into) else _advice(into)) from None


@lru_cache(maxsize=1024)
def _checked(into: Any) -> None:
    for place, part in _parts_of(into):
        try:
            builder(part)
        except Exception as error:  # such as classes of a union that cattrs can't tell apart
            raise _unbuildable(into, part, place, str(error)) from error


def _parts_of(into: Any) -> Iterator[tuple[str, Any]]:
    """Yield `into` and every type that it contains, each once with its place, such as `$.images[].url`.

    Raises ConfigurationError for the first one that can't be built from JSON.
    """
    return _parts(into, into, "$", set())


def _parts(whole: Any, into: Any, place: str, seen: set[Any]) -> Iterator[tuple[str, Any]]:
    inside: Iterable[tuple[str, Any]] = ()
    try:
        if into in seen:  # types may refer to themselves
            return
        seen.add(into)
        buildable = form_of(into) not in ("none", "choice") or json_kinds(into)
        why = None if buildable else _advice(into)
        if why is None:
            inside = _inside(into, place)
    except Exception as error:  # including any exception from evaluating the annotations
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
    if form == "object" and args and "string" not in json_kinds(args[0]):
        raise TypeError("the keys of a JSON object are str")
    if form == "array" and args and _is_set(into) and not _is_hashable(args[0]):
        raise TypeError("its elements are not hashable: use list instead")
    if form in ("array", "object"):
        return [(f"{place}[]", inner) for inner in args if inner is not Ellipsis]
    if form == "wrapper":
        return [(place, wrapped(into))]
    return [(place, inner) for inner in args] if form == "union" else ()


def _is_set(into: Any) -> bool:
    return ARRAYS[get_origin(into) or into] in (set, frozenset)


def _is_hashable(into: Any) -> bool:
    """Return whether values of this type can be in a set."""
    origin = get_origin(into) or into
    return getattr(ARRAYS.get(origin, OBJECTS.get(origin, origin)), "__hash__", None) is not None


def _advice(into: Any) -> str:
    """Return advice for a type that can't be built from JSON."""
    if isinstance(into, TypeVar):
        return "it is an open type variable: pass a type for it, as in Box[int]"
    if isinstance(into, str):
        return "it is a str: pass the type itself"
    if isinstance(into, type) and issubclass(into, bytes | bytearray | memoryview):
        return "JSON has no bytes: use str, and decode it"
    if hasattr(into, "parse_obj"):
        return "it is a model of pydantic 1, and pydantic 2 is needed"
    return _SUPPORTED


def structure(data: Any, into: Any, *, request_id: str | None = None, endpoint_id: str | None = None) -> Any:
    """Build an `into` from `data`. `check_output_type` must have accepted `into`.

    Raises ResponseDecodeError, whose `paths` say what does not fit. Its `__context__` has the errors of the
    caller's own classes.
    """
    from cattrs import transform_error

    try:
        return build(data, into)
    except Exception as error:
        paths = transform_error(error, path="$", format_exception=_message_of)[:_MAX_PATHS]
        raise ResponseDecodeError(
            f"the output does not fit {name_of(into)}: {paths[0]}",
            paths=paths,
            body=data,
            request_id=request_id,
            endpoint_id=endpoint_id,
        ) from None


def _message_of(error: BaseException, into: Any) -> str:
    """Return the message of an error. A KeyError would only name the missing key."""
    if isinstance(error, KeyError) and into is not None:
        return MISSING
    # attrs' validators add the attribute, the type and the value as further arguments after the message.
    message = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    return message[:_MAX_WORDS] or type(error).__name__
