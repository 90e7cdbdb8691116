"""Prints results and errors: lines for people, JSON for programs."""

from __future__ import annotations

import os
import sys
from typing import Any

from fal_async.cli.messages import fail
from fal_async.errors import FalError
from fal_async.outputs.json_values import json_text


class OutputLostError(Exception):
    """Raised when standard output can't be written: its reader is gone, or the disk is full."""


def put(value: Any) -> None:
    """Print one line of JSON on standard output. See `put_line`."""
    put_line(json_text(value))


def put_line(line: str) -> None:
    """Print a line on standard output at once, because a reader may wait for it.

    Raises OutputLostError if standard output can't be written.
    """
    try:
        print(line, flush=True)
    except BrokenPipeError:
        raise OutputLostError("the reader of standard output is gone") from None
    except OSError as error:
        raise OutputLostError(f"standard output can't be written: {error.strerror or error}") from None


def forget_standard_output() -> None:
    """Redirect standard output to the null device, so that the interpreter does not fail to flush it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def put_error(verb: str, error: FalError, *, as_json: bool) -> None:
    """Print an error on standard error. If `as_json`, also print it as a line of JSON on standard output."""
    if as_json:
        put({"error": error.to_dict()})
    fail(verb, str(error))
