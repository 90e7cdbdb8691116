"""From JSON to typed values: the one cattrs converter of the package."""

from __future__ import annotations

import math
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from fal_async.errors import ConfigurationError, ResponseDecodeError

if TYPE_CHECKING:
    from cattrs import Converter

_MAX_PATHS = 20


@cache
def _converter() -> Converter:
    # Imported on first use: a script that never asks for types doesn't pay for it.
    from cattrs import Converter
    from cattrs.strategies import configure_union_passthrough

    converter = Converter()
    for kind in (datetime, date):
        converter.register_structure_hook(kind, lambda text, into: into.fromisoformat(text))
    # cattrs would call `str`, `int` and `bool` on whatever comes: null would be "None", "false" true.
    for plain, hook in {str: _text, bool: _truth, int: _whole, float: _number_as}.items():
        converter.register_structure_hook(plain, hook)
    configure_union_passthrough(str | bool | int | float | None, converter)
    return converter


def _text(value: Any, into: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("no text")
    return into(value)


def _truth(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def _whole(value: Any, into: Any) -> Any:
    """5.0 is a whole number, as whoever wrote the JSON may see it; 5.5 is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != math.floor(value):
        raise ValueError("no whole number")
    return into(value)


def _number_as(value: Any, into: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("no number")
    return into(value)


def check_output_type(into: Any) -> None:
    """ConfigurationError where nothing can be built as this: told before the request is paid for."""
    if into is None:
        return
    try:
        _converter().get_structure_hook(into)
    except Exception as error:
        inner = getattr(error, "type_", None)
        # Not cattrs' own: what the annotations raise that it evaluates.
        why = str(error) if inner is None else f"a {_name_of(inner)} can't be built from JSON"
        raise ConfigurationError(
            f"output_type={_name_of(into)}: {why}: expected an attrs class, a dataclass or a TypedDict, "
            "of such and of plain values"
        ) from error


def _name_of(into: Any) -> str:
    return str(getattr(into, "__name__", into))


def structure(data: Any, into: Any, *, request_id: str | None = None, endpoint_id: str | None = None) -> Any:
    """`data` as an `into`: an attrs class, dataclass, TypedDict, or whatever else cattrs can build.

    ResponseDecodeError with readable `paths` where it does not fit.
    """
    from cattrs import transform_error

    try:
        return _converter().structure(data, into)
    except Exception as error:
        # cattrs lets what a hook raises through as it is: KeyError, TypeError, its own groups.
        name = _name_of(into)
        paths = transform_error(error, path="$")[:_MAX_PATHS] or [type(error).__name__]
        raise ResponseDecodeError(
            f"the output is no {name}: {paths[0]}",
            paths=paths,
            body=data,
            request_id=request_id,
            endpoint_id=endpoint_id,
        ) from error
