"""The input of a call in a form that finds its recording: files by their content, URLs without signatures.

The digest is the emulator's own reading of "Canonical form, version 1" in `fal_async/ledger/README.md`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

VERSION = "1"
"""The version of the canonical form, which is the part of a digest before the colon."""
FILE = "$file"
"""The field of an object that stands for a file in a recorded input."""
_LIKE_FILE = re.compile(r"\$+file")
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


@attrs.frozen
class InputFile:
    """A file in an input: the SHA-256 of its bytes in hexadecimal digits, and its content type."""

    sha256: str
    content_type: str


FileOf = Callable[[str], InputFile | None]
"""Returns the file to which a URL leads; None if it is another server's, or not a URL."""


def canonical(input: Any, file_of: FileOf) -> Any:
    """Return an input as a cassette has it: each URL of a file becomes `{"$file": sha256, "content_type": ...}`.

    Args:
        input: the input, as JSON values.
        file_of: returns the file of a URL.
    """
    if isinstance(input, str):
        file = file_of(input)
        return input if file is None else {FILE: file.sha256, "content_type": file.content_type}
    if isinstance(input, Mapping):
        return {_escaped(key): canonical(value, file_of) for key, value in input.items()}
    return [canonical(item, file_of) for item in input] if isinstance(input, list) else input


def digest(recorded: Any) -> str:
    """Return `1:<sha256>` of an input that `canonical` returned."""
    document, files = _without_files(recorded, ())
    text = _encode(document)
    if listed := sorted(_encode([list(place), file.sha256, file.content_type]) for place, file in files):
        text = f"[{text},[{','.join(listed)}]]"
    return f"{VERSION}:{hashlib.sha256(text.encode()).hexdigest()}"


def input_files(recorded: Any) -> Iterator[InputFile]:
    """Yield the files of an input that `canonical` returned."""
    for _, file in _without_files(recorded, ())[1]:
        yield file


_Place = tuple[str | int, ...]


def _without_files(value: Any, place: _Place) -> tuple[Any, list[tuple[_Place, InputFile]]]:
    """Return a value with `null` for each file and with uniform numbers, and the files with their places."""
    if isinstance(value, Mapping):
        if (file := _as_file(value)) is not None:
            return None, [(place, file)]
        inner = {_plain(key): _without_files(item, (*place, _plain(key))) for key, item in value.items()}
        return {key: one for key, (one, _) in inner.items()}, [f for _, fs in inner.values() for f in fs]
    if isinstance(value, list):
        items = [_without_files(item, (*place, at)) for at, item in enumerate(value)]
        return [one for one, _ in items], [file for _, files in items for file in files]
    return int(value) if isinstance(value, float) and value.is_integer() else value, []


def _as_file(value: Mapping[str, Any]) -> InputFile | None:
    if FILE not in value:
        return None
    return InputFile(str(value[FILE]), str(value.get("content_type", "application/octet-stream")))


def _escaped(key: str) -> str:
    """Return a key of the caller that can't be taken for a file's."""
    return f"${key}" if _LIKE_FILE.fullmatch(key) else key


def _plain(key: str) -> str:
    return key[1:] if _LIKE_FILE.fullmatch(key) else key
