"""The names of a batch's downloaded files: the template `names=`, filled in for each item."""

from __future__ import annotations

from string import Formatter
from typing import Any

from fal_async.batch.shown_values import short
from fal_async.errors import ConfigurationError
from fal_async.protocol.storage.media import local_name

DEFAULT = "{key}-{n}{ext}"
_FIELDS = frozenset({"key", "n", "name", "ext"})


def check_names(names: object) -> None:
    """Raise ConfigurationError unless `names` is None or a template of file names."""
    if names is None:
        return
    if not isinstance(names, str):
        raise ConfigurationError(
            f"names is of type {type(names).__name__}: expected a template such as {DEFAULT!r}"
        )
    fields = "{key}, {n}, {name} and {ext}"
    expected = f"names={short(names)!r}: expected no fields but {fields}, such as {DEFAULT!r}"
    try:
        used = {field for _, field, _, _ in Formatter().parse(names) if field is not None}
        names.format(key="", n=0, name="", ext="")
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        raise ConfigurationError(expected) from error
    if not used <= _FIELDS:
        raise ConfigurationError(expected)
    if not names or "/" in names or "\\" in names:
        raise ConfigurationError(
            f"names={short(names)!r}: expected the name of a file, such as {DEFAULT!r}, not a path"
        )


def of_item(template: str, key: str) -> str:
    """Fill in the item's key. Slashes and backslashes in it become underscores, because a key is not a path."""
    return _filled(template, key=local_name(key.replace("/", "_").replace("\\", "_")))


def of_file(template: str, number: int) -> str:
    """Fill in the number of one file. The returned template is for this file only."""
    return _filled(template, n=number)


def _filled(template: str, **known: Any) -> str:
    """Fill in some of the fields as `str.format` does, and leave the others as they are."""
    filled = ""
    for literal, field, form, conversion in Formatter().parse(template):
        filled += _escaped(literal)
        if field in known:
            value = known[field]
            converted = Formatter().convert_field(value, conversion) if conversion else value
            filled += _escaped(format(converted, form or ""))
        elif field is not None:
            filled += (
                "{" + field + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "") + "}"
            )
    return filled


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
