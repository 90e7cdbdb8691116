"""What may be shown and logged: one short line, with secrets, inputs and URL queries cut out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice

MAX_MESSAGE = 200
MAX_LINE = 290

_SECRETS = (  # compiled by `re` when the first error is made: most processes make none
    # A data URI is the caller's input, whatever its length.
    (r"(?i)\bdata:[\w.+/-]*[;,][^\s'\"]*", "data:..."),
    (r"(?i)\b([a-z][a-z0-9+.-]{0,20}://)\S{0,300}@", r"\1...@"),
    # Queries and fragments carry webhook secrets and signed tokens.
    (r"(?i)\b([a-z][a-z0-9+.-]{0,20}://[^\s?#'\"]*)([?#])[^\s'\"]*", r"\1\2..."),
    (r"\?[\w.%~-]+=[^\s'\"]*", "?..."),
    # Keys as headers have them, alone, and JSON web tokens.
    (r"(?i)\b(Key)\s+[\w.~+/=-]+:[\w.~+/=-]+", r"\1 ..."),
    (r"(?i)\b(Bearer|Basic)\s+[\w.~+/=-]{6,}", r"\1 ..."),
    (r"(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:[\w-]+", "..."),
    (r"\beyJ[\w-]{8,}(?:\.[\w-]*)*", "..."),
    # Nothing a person reads is this long in one piece; base64 and tokens are.
    (r"[^\s=]{120,}", "..."),
)


class Secret(str):
    """A text that is sent and never shown: its `repr` is masked, where local variables are printed, too."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'...'"


def one_line(text: object, limit: int = MAX_MESSAGE) -> str:
    """`text` as one line of at most `limit` characters, with secrets, data URIs and URL queries cut out."""
    line = str(text)[: 64 * MAX_LINE]
    for pattern, replacement in _SECRETS:
        line = re.sub(pattern, replacement, line)
    # What UTF-8 can't carry (half a surrogate pair out of a JSON text) would break who prints it.
    line = " ".join(line.encode("utf-8", "replace").decode().split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def safe_repr(value: object) -> str:
    """The `repr` of what the server chose, fit for logs."""
    return one_line(repr(value))


_MAX_ITEMS, _MAX_DEPTH, _MAX_TEXT = 8, 4, 80


def shown(value: object) -> str:
    """The `repr` of an output: its beginning, as `one_line` would have it."""
    return one_line(_shown(value, _MAX_DEPTH), MAX_LINE)


def _shown(value: object, depth: int) -> str:
    if isinstance(value, str):
        return repr(one_line(value, _MAX_TEXT))  # before it is cut: half a secret is not recognised
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, Mapping):
        return (
            "{"
            + _items((f"{_shown(name, 0)}: {_shown(value[name], depth - 1)}" for name in value), depth)
            + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + _items((_shown(item, depth - 1) for item in value), depth) + "]"
    return one_line(repr(value))


def _items(items: Iterable[str], depth: int) -> str:
    first = list(islice(items, _MAX_ITEMS + 1 if depth > 0 else 1))
    return ", ".join(
        first if depth > 0 and len(first) <= _MAX_ITEMS else [*first[:-1], "..."] if first else []
    )


def one_word(text: str | None) -> str | None:
    return None if text is None else one_line(text)
