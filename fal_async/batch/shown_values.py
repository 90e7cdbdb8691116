"""Shortens values for error messages, so that the end of a message, which says what to do, is not cut off."""

from __future__ import annotations

_LONGEST = 50
"""Characters. A message has at most 200 (`errors/redaction.py: MAX_MESSAGE`), and may show two values."""


def short(value: object) -> str:
    """Return a name or path that the caller passed; if it is long, without its middle."""
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:20]}...{text[-27:]}"
