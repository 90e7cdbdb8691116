r"""Parses the words that make an input, such as `prompt="a cat"`, in HTTPie's syntax. Pure: it opens no file.

| word | the member gets |
|---|---|
| `name=text` | the text |
| `name:=json` | a JSON value |
| `name@path` | the file, which is uploaded |
| `name=@path` | the file's text |
| `name:=@path` | the file's JSON value |

A name may lead into objects and lists: `image_size[width]:=512`, `loras[0][path]=...`, `tags[]=new`. A `\` before
one of `: = @ [ ] \` in a name, and before one of `: = @` in a value, makes it an ordinary character. All other
backslashes stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from fal_async.errors import ConfigurationError

_SEPARATORS = (":=@", "=@", ":=", "=", "@")  # one that begins with another one comes before it
_EXPECTED = "expected name=text, name:=json, name@file, name=@file or name:=@file"
_SHOWN = 40
"""Characters of a word that are shown in a message."""
_STEP = re.compile(r"\[((?:\\.|[^\[\]\\])*)\]", re.S)
_ESCAPE = re.compile(r"\\(.)", re.S)

Step = str | int | None
"""A key of an object, an index of a list, or None for a new last element."""


@attrs.frozen
class Item:
    """One word of an input.

    Attributes:
        name: the name as it was written, for messages.
        path: the keys and indices that lead to the member.
        separator: one of `=`, `:=`, `@`, `=@`, `:=@`.
        value: the text behind it: a text, JSON, or the path of a file.
    """

    name: str
    path: tuple[Step, ...]
    separator: str
    value: str


def parse_item(word: str) -> Item:
    """Parse one word.

    Raises:
        ConfigurationError: it has no separator, or its name is not valid.
    """
    at, separator = _separator(word)
    name, value = word[:at], word[at + len(separator) :]
    if not separator or not name:
        raise ConfigurationError(f"{_short(word)!r}: {_EXPECTED}")
    return Item(name, _path(name), separator, _unescaped(value, ":=@"))


def parse_json(text: str, where: str) -> Any:
    """Parse JSON. Raises ConfigurationError, whose message begins with `where`."""
    try:
        return json.loads(text)
    except ValueError as error:
        at = (
            f" at line {error.lineno}, column {error.colno}"
            if isinstance(error, json.JSONDecodeError)
            else ""
        )
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "it can't be read"
        raise ConfigurationError(f"{where}: not valid JSON{at}: {reason}") from None
    except RecursionError:
        raise ConfigurationError(f"{where}: nested too deeply") from None


def build_input(values: Iterable[tuple[Item, Any]], base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the input that items make, on top of `base`, whose members they replace.

    Args:
        values: each item with its value.
        base: an input, which is not changed. None (default): an empty one.

    Raises:
        ConfigurationError: two items have the same name, or one leads into a value that another one has set; or
            into something that is not an object or a list; or a list would have a gap.
    """
    root: dict[str, Any] = {} if base is None else _copied(base)
    taken: dict[tuple[Step, ...], str] = {}
    for item, value in values:
        path = _put(root, item, value)
        for other, name in taken.items():
            if path[: len(other)] == other or other[: len(path)] == path:
                also = "" if name == item.name else f", also as {_short(name)}"
                raise ConfigurationError(f"{_short(item.name)}: given twice{also}")
        taken[path] = item.name
    return root


def _separator(word: str) -> tuple[int, str]:
    at = 0
    while at < len(word):
        if word[at] == "\\":
            at += 2
            continue
        for separator in _SEPARATORS:
            if word.startswith(separator, at):
                return at, separator
        at += 1
    return 0, ""


def _path(name: str) -> tuple[Step, ...]:
    head = re.match(r"(?:\\.|[^\[\]:\\])*", name, re.S)
    rest = name[head.end() :] if head else name
    steps = [match[1] for match in _STEP.finditer(rest)]
    if head is None or not head[0] or "".join(f"[{step}]" for step in steps) != rest:
        raise ConfigurationError(f"{_short(name)!r}: expected a name, such as prompt or image_size[width]")
    return (_unescaped(head[0], ":=@[]\\"), *map(_step, steps))


def _step(text: str) -> Step:
    if not text:
        return None
    return int(text) if text.isascii() and text.isdecimal() else _unescaped(text, ":=@[]\\")


def _unescaped(text: str, special: str) -> str:
    return _ESCAPE.sub(lambda match: match[1] if match[1] in special else match[0], text)


def _put(root: dict[str, Any], item: Item, value: Any) -> tuple[Step, ...]:
    """Put a value into its place, and return the path with the index of each new element."""
    place: Any = root
    path: list[Step] = []
    for step, following in zip(item.path, (*item.path[1:], ...), strict=True):
        new = value if following is ... else {} if isinstance(following, str) else []
        step = _checked(place, step, item)
        path.append(step)
        if following is ... or not _has(place, step):
            _set(place, step, new)
        place = place[step]
    return tuple(path)


def _checked(place: Any, step: Step, item: Item) -> str | int:
    if isinstance(step, str):
        if not isinstance(place, dict):
            raise ConfigurationError(f"{_short(item.name)}: leads into {_kind(place)}: expected an object")
        return step
    if not isinstance(place, list):
        raise ConfigurationError(f"{_short(item.name)}: leads into {_kind(place)}: expected a list")
    if step is not None and step > len(place):
        raise ConfigurationError(
            f"{_short(item.name)}: index {step}: the next one of the list is {len(place)}"
        )
    return len(place) if step is None else step


def _has(place: Any, step: str | int) -> bool:
    return step in place if isinstance(step, str) else step < len(place)


def _set(place: Any, step: str | int, value: Any) -> None:
    if isinstance(step, int) and step == len(place):
        place.append(value)
    else:
        place[step] = value


def _kind(value: Any) -> str:
    return (
        "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else "a single value"
    )


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(member) for name, member in value.items()}
    return [_copied(member) for member in value] if isinstance(value, list) else value


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
