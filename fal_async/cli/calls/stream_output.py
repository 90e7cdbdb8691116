"""Prints the values of a stream: text as it grows, everything else as a line of JSON for each value."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from fal_async.cli.output import put, put_bytes, put_text
from fal_async.cli.screen import is_live, printable

_TEXTS = ("output", "text", "content", "delta")
"""Members of a value that may have the text of a model. The first one that is a `str` is printed."""


class StreamOutput:
    """Prints one stream.

    A value whose text begins with all text before, as the models of any-llm send it, is printed from there on.

    Args:
        as_json: whether each value is a line of JSON, text as well.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._text = ""

    def put(self, value: Any) -> None:
        """Print a value. Raises OutputLostError if standard output can't be written."""
        text = None if self._as_json else _text_of(value)
        if text is not None:
            self._put_text(text)
        elif isinstance(value, bytes) and not self._as_json:
            put_bytes(value)
        else:
            self.end()
            put(value)

    def end(self) -> None:
        """End the last line of text."""
        if self._text and not self._text.endswith("\n"):
            put_text("\n")
        self._text = ""

    def _put_text(self, text: str) -> None:
        grows = bool(self._text) and text.startswith(self._text)
        new = text[len(self._text) :] if grows else text
        self._text = text if grows else self._text + text
        put_text(printable(new) if is_live(sys.stdout) else new)


def _text_of(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping):
        return None
    return next((value[name] for name in _TEXTS if isinstance(value.get(name), str)), None)
