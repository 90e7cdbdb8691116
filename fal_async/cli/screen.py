"""Prints lines. On a terminal the last one can be overwritten, and text can have colours."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TextIO

_BOLD, _DIM, _PLAIN = "\033[1m", "\033[2m", "\033[0m"
_CLEAR = "\r\033[K"


def is_live(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal whose last line can be overwritten."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def has_colours(stream: TextIO | None) -> bool:
    """Return whether a stream is such a terminal, and the user has not switched colours off by `NO_COLOR`."""
    return is_live(stream) and not os.environ.get("NO_COLOR")


def bold(text: str) -> str:
    """Return a text in bold for standard output, if that has colours."""
    return f"{_BOLD}{text}{_PLAIN}" if has_colours(sys.stdout) else text


def printable(text: str) -> str:
    """Return a text of a model or of fal without control characters, which could change a terminal.

    Line breaks and tabs stay.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


class Screen:
    """Prints lines to a text stream.

    Args:
        out: the text stream.
        live: whether `out` is a terminal, so that `show` can overwrite its last line. If False, `show` prints a
            new line for each new text.
    """

    def __init__(self, out: TextIO, *, live: bool) -> None:
        self._out, self._live = out, live
        self._shown = ""
        self._open = False

    def line(self, text: str = "") -> None:
        self.end()
        self._write(text + "\n")

    def title(self, text: str) -> None:
        self.line(f"{_BOLD}{text}{_PLAIN}" if self._live else text)

    def note(self, text: str) -> None:
        self.line(f"{_DIM}{text}{_PLAIN}" if self._live else text)

    def show(self, text: str) -> None:
        """Print a line, which the next call of `show` overwrites."""
        if text == self._shown:
            return
        self._shown = text
        if not self._live:
            self._write(text + "\n")
            return
        width = shutil.get_terminal_size().columns - 1
        self._write(_CLEAR + text[:width])
        self._open = True

    def end(self) -> None:
        """Keep the last line of `show`, so that the next text appears below it."""
        if self._open:
            self._write("\n")
        self._open, self._shown = False, ""

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
