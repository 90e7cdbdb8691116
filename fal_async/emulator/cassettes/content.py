"""Bodies in a cassette: JSON values where they give back the same bytes, else text, else a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import attrs

from fal_async.emulator.cassettes.document_fields import CassetteError, Fields

_COMPACT, _SPACED = (",", ":"), (", ", ": ")
_EVENT, _EVENT_END = "data: ", "\n\n"


@attrs.frozen
class _Style:
    """One way of writing JSON; `is_event`: as the data of a server-sent event."""

    separators: tuple[str, str]
    ascii: bool
    is_event: bool

    def text(self, value: Any) -> str:
        body = json.dumps(value, separators=self.separators, ensure_ascii=self.ascii, allow_nan=False)
        return f"{_EVENT}{body}{_EVENT_END}" if self.is_event else body


def _styles() -> Iterator[tuple[str, _Style]]:
    for prefix in ("", "event "):
        for name, separators in (("compact", _COMPACT), ("spaced", _SPACED)):
            for suffix, ascii in (("", False), (" ascii", True)):
                yield f"{prefix}{name}{suffix}", _Style(separators, ascii, bool(prefix))


STYLES: Mapping[str, _Style] = dict(_styles())
"""The ways in which servers write JSON, by name; "event ..." is the data of a server-sent event."""


@attrs.frozen
class Content:
    """The bytes of a body, an event, or a chunk.

    Attributes:
        kind: "json", "text", or "file" for everything that is not UTF-8.
        value: the JSON value, the text, or the name of the file in the folder's `files`.
        style: for "json", the name in `STYLES` with which the value was written.
    """

    kind: Literal["json", "text", "file"]
    value: Any
    style: str = ""

    @classmethod
    def of(cls, data: bytes, add_file: Callable[[bytes], str]) -> Content:
        """Return the most readable form of bytes.

        Args:
            data: the bytes.
            add_file: stores bytes that are not text, and returns the name of the file.
        """
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return cls("file", add_file(data))
        return _as_json(text) or cls("text", text)

    def data(self, read_file: Callable[[str], bytes]) -> bytes:
        """Return the bytes.

        Args:
            read_file: returns the bytes of a file by its name.
        """
        if self.kind == "file":
            return read_file(self.value)
        if self.kind == "text":
            return str(self.value).encode()
        return STYLES[self.style].text(self.value).encode()

    def to_document(self) -> dict[str, Any]:
        return {self.kind: self.value} | ({"style": self.style} if self.kind == "json" else {})

    @classmethod
    def from_document(cls, fields: Fields) -> Content:
        """Read a content. Raise CassetteError if it is neither of the three kinds."""
        fields.known("json", "text", "file", "style")
        kinds: list[Literal["json", "text", "file"]] = [
            kind for kind in ("json", "text", "file") if kind in fields.document
        ]
        if len(kinds) != 1:
            raise CassetteError(f"{fields.place}: expected one of the fields json, text and file")
        if kinds[0] != "json":
            return _writable(fields, cls(kinds[0], fields.text(kinds[0])))
        style = fields.text("style", default="compact")
        if style not in STYLES:
            raise CassetteError(f"{fields.at('style')}: {style!r}: expected one of {', '.join(STYLES)}")
        return _writable(fields, cls("json", fields.document["json"], style))


EMPTY = Content("text", "")


def _writable(fields: Fields, content: Content) -> Content:
    try:
        content.data(lambda _: b"")
    except UnicodeEncodeError as error:
        raise CassetteError(
            f"{fields.at(content.kind)}: half of a surrogate pair is not a character"
        ) from error
    return content


def _as_json(text: str) -> Content | None:
    is_event = text.startswith(_EVENT) and text.endswith(_EVENT_END)
    try:
        value = json.loads(text[len(_EVENT) : -len(_EVENT_END)] if is_event else text)
    except (ValueError, RecursionError):
        return None
    for name, style in STYLES.items():
        if style.is_event == is_event and _written(style, value) == text:
            return Content("json", value, name)
    return None


def _written(style: _Style, value: Any) -> str | None:
    try:
        return style.text(value)
    except ValueError:  # NaN, which some servers write
        return None
