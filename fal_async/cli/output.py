"""Prints results and errors: lines for people, JSON for programs."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from fal_async.cli.messages import fail
from fal_async.errors import FalError
from fal_async.outputs.json_values import json_text, plain

_AMOUNTS = ("cost", "spent", "max_cost")
"""Members of the documents of batches with amounts of money."""


class OutputLostError(Exception):
    """Raised when standard output can't be written: its reader is gone, or the disk is full."""


def put(value: Any) -> None:
    """Print one line of JSON on standard output. See `put_line`."""
    put_line(json_text(value))


def with_amounts(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with its amounts of money as text, because a JSON number may lose digits."""
    amounts = {name: f"{document[name]:f}" for name in _AMOUNTS if document.get(name) is not None}
    return {**document, **amounts}


def put_pretty(value: Any) -> None:
    """Print a value as indented JSON, for people. See `put_line`."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False)
    put_line(text if _can_print(text) else json.dumps(plain(value), indent=2))


def put_line(line: str) -> None:
    """Print a line on standard output at once, because a reader may wait for it.

    Characters that the terminal can't show become escapes. Raises OutputLostError if standard output can't be
    written.
    """
    put_text(line + "\n")


def put_text(text: str) -> None:
    """Print a text without a line break. See `put_line`."""
    if not _can_print(text):
        encoding = sys.stdout.encoding
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    with _writing():
        print(text, end="", flush=True)


def put_bytes(data: bytes) -> None:
    """Write bytes to standard output. Raises OutputLostError as `put_line`."""
    with _writing():
        sys.stdout.buffer.write(data)
        sys.stdout.flush()


def _can_print(text: str) -> bool:
    if sys.stdout is None:
        raise OutputLostError("standard output is closed")
    try:
        text.encode(sys.stdout.encoding, sys.stdout.errors or "strict")
    except UnicodeEncodeError:
        return False
    return True


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise OutputLostError("the reader of standard output is gone") from None
    except OSError as error:
        raise OutputLostError(f"standard output can't be written: {error.strerror or error}") from None


def forget_standard_output() -> None:
    """Redirect standard output to the null device, so that the interpreter does not fail to flush it at exit."""
    if sys.stdout is None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def put_error(verb: str, error: FalError, *, as_json: bool) -> None:
    """Print an error on standard error. If `as_json`, also print it as a line of JSON on standard output."""
    if as_json:
        put({"error": error.to_dict()})
    fail(verb, str(error).replace('check="off"', "--check off"))
