"""Text for messages and logs: one short line without secrets, inputs and URL queries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice

MAX_MESSAGE = 200
"""Maximum number of characters of an error's message."""
MAX_LINE = 290
"""Maximum number of characters of `str(error)`, which also has the endpoint and the request id."""

_SECRETS = (  # compiled when the first error is created, because most processes create none
    # A data URI is part of the caller's input, even if it is short.
    (r"(?i)\bdata:[\w.+/-]*[;,][^\s'\"]*", "data:..."),
    (r"(?i)\b([a-z][a-z0-9+.-]{0,20}://)\S{0,300}@", r"\1...@"),
    # Queries and fragments may have webhook secrets and signed tokens.
    (r"(?i)\b([a-z][a-z0-9+.-]{0,20}://[^\s?#'\"]*)([?#])[^\s'\"]*", r"\1\2..."),
    (r"\?[\w.%~-]+=[^\s'\"]*", "?..."),
    # Fal keys in headers, fal keys alone, and JSON web tokens.
    (r"(?i)\b(Key)\s+[\w.~+/=-]+:[\w.~+/=-]+", r"\1 ..."),
    (r"(?i)\b(Bearer|Basic)\s+[\w.~+/=-]{6,}", r"\1 ..."),
    # Not at a border of words, because a repr shows a line end before a key as `\n`.
    (r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:[\w-]+", "..."),
    (r"\beyJ[\w-]{8,}(?:\.[\w-]*)*", "..."),
    # Base64 and tokens: no word of a language is this long.
    (r"[^\s=]{120,}", "..."),
)


class Secret(str):
    """A `str` whose `repr` is masked, so that tools that print local variables don't show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'...'"


def one_line(text: object, limit: int = MAX_MESSAGE) -> str:
    """Return `text` as one line of at most `limit` characters, without secrets, data URIs and URL queries."""
    line = str(text)[: 64 * MAX_LINE]
    for pattern, replacement in _SECRETS:
        line = re.sub(pattern, replacement, line)
    # A lone surrogate, which JSON can contain, would make `print` raise.
    line = " ".join(line.encode("utf-8", "replace").decode().split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def safe_repr(value: object) -> str:
    """Return the `repr` of a value from the server, redacted as by `one_line`."""
    return one_line(repr(value))


_MAX_ITEMS, _MAX_DEPTH, _MAX_TEXT = 8, 4, 80


def shown(value: object) -> str:
    """Return the beginning of an output's `repr`, redacted as by `one_line`."""
    return one_line(_shown(value, _MAX_DEPTH), MAX_LINE)


def _shown(value: object, depth: int) -> str:
    if isinstance(value, str):
        # Redacted before it is cut, because the pattern does not match half of a secret.
        return repr(one_line(value, _MAX_TEXT))
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
    """Return the same as `one_line`, and None for None."""
    return None if text is None else one_line(text)
