"""Prints lines on standard error, for people. Results go to standard output: see `output.py`."""

from __future__ import annotations

import contextlib
import sys

PROGRAM = "fal-async"


def fail(verb: str, message: str) -> int:
    """Print one line on standard error, and return the exit status for a failure."""
    say(f"{PROGRAM} {verb}: {message}")
    return 1


def say(line: str) -> None:
    """Print a line on standard error. If standard error is closed or can't be written, nothing is printed."""
    if sys.stderr is not None:  # if it is None, because it is closed, `print` would write to standard output
        with contextlib.suppress(OSError, ValueError):
            print(line, file=sys.stderr, flush=True)
