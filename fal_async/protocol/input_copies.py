"""Copies of inputs, because the caller may change an input long before it is sent."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from fal_async.protocol.json_input import LEAVES, is_flat
from fal_async.records import is_record


def own_copy(input: Any) -> Any:
    """Return a deep copy of an input, which shares only the files with it.

    An input that can't be copied is returned unchanged. Encoding it later raises an error that says what is wrong.
    """
    if is_flat(input):
        return input.copy()  # the usual case
    try:
        return _copied(input)
    except Exception:  # nested too deeply, contains itself, or has a class that can't be copied
        return input


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind in LEAVES:
        return value
    if kind is dict:
        return {key: _copied(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return kind(map(_copied, value))
    if isinstance(value, dict):  # a subclass, which may have attributes
        members = copy.copy(value)
        members.update((key, _copied(item)) for key, item in value.items())
        return members
    if isinstance(value, Mapping):
        return {key: _copied(value[key]) for key in value}
    if isinstance(value, list):
        items = copy.copy(value)
        items[:] = map(_copied, value)
        return items
    return _copied_record(value) if is_record(value) else value


def _copied_record(record: Any) -> Any:
    twin = copy.copy(record)
    for name in _names(record):
        field = getattr(record, name)
        if (own := _copied(field)) is not field:
            _set(twin, name, own)
    return twin


def _set(record: Any, name: str, value: Any) -> None:
    """Set a field, even of a frozen record."""
    if hasattr(type(record), "__struct_fields__"):
        from msgspec.structs import force_setattr  # the caller has already loaded msgspec

        force_setattr(record, name, value)
    else:
        object.__setattr__(record, name, value)


def _names(record: Any) -> Iterable[str]:
    kind = type(record)
    for of_kind in ("__attrs_attrs__", "__dataclass_fields__", "__struct_fields__", "model_fields"):
        if (fields := getattr(kind, of_kind, None)) is not None:
            return [getattr(field, "name", field) for field in fields]
    return ()
