"""What the downloaded files of a batch are called: a template of `names=`, filled in for each item."""

from __future__ import annotations

from string import Formatter
from typing import Any

from fal_async.errors import ConfigurationError
from fal_async.protocol.storage.media import local_name

DEFAULT = "{key}-{n}{ext}"
_FIELDS = frozenset({"key", "n", "name", "ext"})


def check_names(names: object) -> None:
    """ConfigurationError for what is no template of a file's name."""
    if names is None:
        return
    if not isinstance(names, str):
        raise ConfigurationError(
            f"names is a {type(names).__name__}: expected a template such as {DEFAULT!r}"
        )
    expected = (
        f"names={names!r}: expected {{key}}, {{n}}, {{name}} and {{ext}} in braces only, such as {DEFAULT!r}"
    )
    try:
        fields = {field for _, field, _, _ in Formatter().parse(names) if field is not None}
        names.format(key="", n=0, name="", ext="")
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        raise ConfigurationError(expected) from error
    if not fields <= _FIELDS:
        raise ConfigurationError(expected)
    if not names or "/" in names or "\\" in names:
        raise ConfigurationError(f"names={names!r}: expected the name of a file, not a path")


def of_item(template: str, key: str) -> str:
    """The template of one item's files. A key is no path: what separates folders is replaced."""
    return _filled(template, key=local_name(key.replace("/", "_").replace("\\", "_")))


def of_file(template: str, number: int) -> str:
    """The template of one file, as if it stood alone."""
    return _filled(template, n=number)


def _filled(template: str, **known: Any) -> str:
    """`str.format` of some of the fields, which leaves the others as they are."""
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
