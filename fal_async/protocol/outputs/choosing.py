"""Choosing the class of a union that an object is built as: by a field's value, or by its fields."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

from fal_async.protocol.outputs.forms import choices, fields_of, form_of, json_names, kind_of, plain_choice


def chooser(records: list[Any]) -> Callable[[Any], Any] | None:
    """Return a function that chooses the attrs class or dataclass for an object; None for less than two classes.

    The function raises an error if no class fits. Raises TypeError if the classes can't be told apart.
    """
    if len(records) < 2:
        return None
    return _by_value(records) or _by_fields(records)


def _by_value(records: list[Any]) -> Callable[[Any], Any] | None:
    """Return a function that chooses by a field for which each class has other values in a `Literal` or an Enum.

    Not by cattrs, which does not see a dataclass's `Literal` in annotations that are strings.
    """
    known = [_values_of(record) for record in records]
    for name in known[0]:
        pairs = [
            (value, record)
            for values, record in zip(known, records, strict=True)
            for value in values.get(name, ())
        ]
        by_value = dict(pairs)
        if len(by_value) == len(pairs) and all(name in values for values in known):
            return partial(_chosen_by, name, by_value)
    return None


def _chosen_by(name: str, by_value: Mapping[tuple[str, Any], Any], data: Any) -> Any:
    return by_value[kind_of(data[name]), data[name]]


def _values_of(record: Any) -> dict[str, list[tuple[str, Any]]]:
    """Return the possible values, with their kinds, of each field that has only some."""
    names = json_names(record)
    fields = {field: hint for field, hint in fields_of(record).items() if form_of(hint) == "choice"}
    found = {names[field]: list(map(plain_choice, choices(hint))) for field, hint in fields.items()}
    return {
        name: [(kind_of(value), value) for value in values]
        for name, values in found.items()
        if all(isinstance(value, Hashable) for value in values)
    }


def _by_fields(records: list[Any]) -> Callable[[Any], Any]:
    """Return a function that chooses by the required fields that only one class has."""
    from cattrs import Converter
    from cattrs.disambiguators import create_default_dis_func
    from cattrs.gen import override

    renamed = {
        field: override(rename=name)
        for record in records
        for field, name in json_names(record).items()
        if name != field
    }
    try:
        return create_default_dis_func(Converter(), *records, overrides=renamed)
    except Exception as error:
        raise TypeError(
            "its classes can't be told apart: give each a required field that the others lack"
        ) from error
