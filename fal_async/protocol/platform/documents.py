"""JSON objects of the platform API as values (protocol 11): lenient readers, and pages of lists.

`read` fills the fields of an attrs class by their types. A field without a default is required; any other one keeps
its default if its value is missing or malformed. Unknown keys stay in `raw`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Generic, TypeVar, cast, get_type_hints

import attrs

from fal_async.errors import ResponseDecodeError
from fal_async.protocol.fields import text_in
from fal_async.protocol.http import HttpResponse, declared_charset, json_text

T = TypeVar("T")
_WIRE = "wire"


@attrs.frozen(kw_only=True)
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: the items of the page, in fal's order.
        next_cursor: what `pages(cursor)` continues with; None on the last page.
        total: how many items all pages together have, if fal says so; else None.
        raw: the whole response.
    """

    items: tuple[T, ...]
    next_cursor: str | None = None
    total: int | None = None
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False, eq=False)


def raw_field() -> Any:
    """Return the field `raw` of a value: the JSON object as fal sent it."""
    return attrs.field(factory=dict, repr=False, eq=False)


def wire(name: str) -> Mapping[str, str]:
    """Return the metadata of a field whose name in JSON is `name`."""
    return {_WIRE: name}


def object_of(response: HttpResponse) -> Mapping[str, Any]:
    """Return the JSON object of a response. Raises ResponseDecodeError if the body is not one."""
    return _object(response, response.json())


def exact_object_of(response: HttpResponse) -> Mapping[str, Any]:
    """Return the JSON object of a response, with each number that has a fraction as Decimal, from its text.

    Raises ResponseDecodeError if the body is not a JSON object.
    """
    try:
        text = json_text(response.body, declared_charset(response.headers)).removeprefix("\ufeff")
        decoded = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        decoded = response.json()  # raises the usual error
    return _object(response, decoded)


def _object(response: HttpResponse, decoded: Any) -> Mapping[str, Any]:
    if isinstance(decoded, Mapping):
        return decoded
    raise ResponseDecodeError(
        f"the platform API sent a JSON {type(decoded).__name__}: expected an object",
        paths=["expected an object @ $"],
        body=None if response.is_secret else response.body,
    )


def rows_in(document: Mapping[str, Any], name: str, place: str = "$") -> list[Mapping[str, Any]]:
    """Return the objects of a list. Raises ResponseDecodeError if there is no list, or it has something else."""
    rows = document.get(name)
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise _missing(f"{place}.{name}", "a list of objects")
    return rows


def page_of(
    document: Mapping[str, Any], name: str, read_row: Callable[[Mapping[str, Any], str], T]
) -> Page[T]:
    """Return the page of a list. `read_row` gets each object and its place, such as `$.prices[0]`."""
    rows = rows_in(document, name)
    items = tuple(read_row(row, f"$.{name}[{index}]") for index, row in enumerate(rows))
    return page_with(document, items)


def page_with(document: Mapping[str, Any], items: tuple[T, ...]) -> Page[T]:
    """Return the page with these items, and the cursor in `document`."""
    return Page(
        items=items,
        next_cursor=text_in(document, "next_cursor"),
        total=_int(document.get("total")),
        raw=document,
    )


def read(kind: type[T], row: Mapping[str, Any], place: str = "$", **given: Any) -> T:
    """Return a value of an attrs class with the fields of a JSON object.

    Args:
        kind: the class. Its field `raw` gets the whole object.
        row: the JSON object.
        place: where it is in the response, for errors.
        **given: values of fields that are not read from the object.

    Raises:
        ResponseDecodeError: a required field is missing or malformed.
    """
    values, of_kind = {"raw": row, **given}, cast(Hashable, kind)
    for name, in_json, reader, required in _plan(of_kind):
        if name in values:
            continue
        value = reader(row.get(in_json))
        if value is not None:
            values[name] = value
        elif required:
            raise _missing(f"{place}.{in_json}", "a value")
    return kind(**values)


def _missing(place: str, expected: str) -> ResponseDecodeError:
    return ResponseDecodeError(
        f"the response of the platform API has no {place.removeprefix('$.')}: expected {expected}",
        paths=[f"required field missing @ {place}"],
    )


@cache
def _plan(kind: Any) -> tuple[tuple[str, str, Callable[[Any], Any], bool], ...]:
    hints = get_type_hints(kind)
    return tuple(
        (
            field.name,
            field.metadata.get(_WIRE, field.name),
            _READERS.get(hints[field.name], lambda value: value),
            field.default is attrs.NOTHING,
        )
        for field in attrs.fields(kind)
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _int(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _bool(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def number(value: Any) -> float | None:
    """Return a finite JSON number as float; else None."""
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        return None
    try:
        as_float = float(value)
    except OverflowError:  # an int with more than 308 digits
        return None
    return as_float if math.isfinite(as_float) else None


def exact(value: Any) -> Decimal | None:
    """Return a JSON number of `exact_object_of` as Decimal; else None. A float is refused: it is not exact."""
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    return Decimal(value) if is_number else None


def moment(value: Any) -> datetime | None:
    """Return an ISO time with its offset; UTC if it has none. None if it is malformed."""
    try:
        read_as = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return read_as if read_as.tzinfo else read_as.replace(tzinfo=UTC)


def _texts(value: Any) -> tuple[str, ...] | None:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else None


def _mapping(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None


_READERS: Mapping[Any, Callable[[Any], Any]] = {
    str: _text,
    str | None: _text,
    int | None: _int,
    bool: _bool,
    bool | None: _bool,
    float | None: number,
    Decimal: exact,
    Decimal | None: exact,
    datetime | None: moment,
    tuple[str, ...]: _texts,
    Mapping[str, Any] | None: _mapping,
}
"""The reader of each type of field. A field of another type, such as Any, keeps the JSON value."""
