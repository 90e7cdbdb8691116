"""Python text in the layout of `ruff format`, at 88 columns: expressions, docstrings, literals.

Every text of a schema goes through `string`, `literal` or `docstring`, so that it stays text whatever it contains.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from typing import Any, TypeAlias

import attrs

WIDTH = 88
_STEP = "    "


@attrs.frozen
class Brackets:
    """A subscript or a call: `list[str]`, `Literal["a", "b"]`, `attrs.field(default=None)`."""

    head: str
    """The text before the items, with the bracket."""
    items: tuple[Expression, ...]

    @property
    def close(self) -> str:
        return {"[": "]", "(": ")", "{": "}"}[self.head[-1]]


@attrs.frozen
class Alternatives:
    """A union: `int | None`."""

    members: tuple[Expression, ...]


Expression: TypeAlias = str | Brackets | Alternatives


def flat(expression: Expression) -> str:
    """Return an expression on one line."""
    if isinstance(expression, Alternatives):
        return " | ".join(map(flat, expression.members))
    if isinstance(expression, Brackets):
        return expression.head + ", ".join(map(flat, expression.items)) + expression.close
    return expression


def assignment(target: str, kind: Expression | None, value: Expression | None, indent: str = "") -> list[str]:
    """Return the lines of `target: kind = value`."""
    head = indent + target + ("" if kind is None else f": {flat(kind)}")
    tail = "" if value is None else f" = {flat(value)}"
    if len(head + tail) <= WIDTH or (kind is None and value is None):
        return [head + tail]
    if isinstance(value, Brackets) and len(f"{head} = {value.head}") <= WIDTH:
        return _lines(value, indent, f"{head} = "[len(indent) :], "")
    if isinstance(value, Alternatives):
        return [f"{head} = (", *_lines(value, indent + _STEP, "", ""), f"{indent})"]
    if isinstance(kind, Alternatives):
        return [f"{indent}{target}: (", *_lines(kind, indent + _STEP, "", ""), f"{indent}){tail}"]
    return [head + tail] if kind is None else _lines(kind, indent, f"{target}: ", tail)


def breakable(expression: Expression, after: str) -> list[str]:
    """Return the lines of an expression that stands alone, with a text after it."""
    return _lines(expression, "", "", after)


def _lines(expression: Expression, indent: str, before: str, after: str) -> list[str]:
    """Return the lines of an expression between two texts."""
    whole = indent + before + flat(expression) + after
    if len(whole) <= WIDTH or isinstance(expression, str):
        return [whole]
    if isinstance(expression, Alternatives):
        last = len(expression.members) - 1
        marks = [before, *["| "] * last]
        return [
            line
            for at, (member, mark) in enumerate(zip(expression.members, marks, strict=True))
            for line in _lines(member, indent, mark, after if at == last else "")
        ]
    first, end = indent + before + expression.head, indent + expression.close + after
    inner = indent + _STEP + ", ".join(map(flat, expression.items))
    if (
        len(inner) <= WIDTH and expression.close != "}"
    ):  # the formatter puts each item of a dict on its own line
        return [first, inner, end]
    # A comma after a single item between square brackets would make a tuple of it.
    comma = "" if expression.close == "]" and len(expression.items) == 1 else ","
    return [
        first,
        *(line for item in expression.items for line in _lines(item, indent + _STEP, "", comma)),
        end,
    ]


def string(text: str) -> str:
    """Return the literal of a str: in double quotes, unless single ones need fewer escapes."""
    inner = repr(text + '"')[1:-2]  # with a double quote in it, `repr` takes single ones
    if text.count('"') > text.count("'"):
        return f"'{inner}'"
    return '"' + inner.replace("\\'", "'").replace('"', '\\"') + '"'


def literal(value: Any) -> str:
    """Return the literal of a str, int, bool or None."""
    return string(value) if isinstance(value, str) else repr(value)


def docstring(paragraphs: Iterable[str], indent: str, width: int = WIDTH) -> list[str]:
    """Return the lines of a docstring of at most `width` columns; [] without text."""
    found = [lines for paragraph in paragraphs if (lines := _clean(paragraph))]
    # An empty line between two paragraphs.
    text = [line for at, lines in enumerate(found) for line in ([""] if at else []) + lines]
    if not text:
        return []
    first, *rest = [
        part for line in [f'"""{text[0]}', *text[1:]] for part in _wrapped(line, width - len(indent))
    ]
    end = ' """' if first.endswith('"') else '"""'  # as the formatter separates the quotes
    if not rest and len(indent + first + end) <= width:
        return [indent + first + end]
    return [f"{indent}{first}", *(f"{indent}{line}" if line else "" for line in rest), f'{indent}"""']


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]


def _clean(paragraph: str) -> list[str]:
    """Return the lines of a str without control characters, escaped for a docstring in triple double quotes."""
    lines: list[str] = []
    for line in paragraph.strip().splitlines():
        shown = "".join(char if char.isprintable() else " " for char in line)
        text = " ".join(shown.split()).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
        text = re.sub('^"', '\\\\"', text)  # the formatter would put a space before it
        if text or (lines and lines[-1]):
            lines.append(text)
    return lines if lines and lines[-1] else lines[:-1]
