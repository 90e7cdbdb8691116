"""What may be shown and logged: one short line, with secrets, inputs and URL queries cut out."""

from __future__ import annotations

import re

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


def one_word(text: str | None) -> str | None:
    return None if text is None else one_line(text)
