"""Lines on a terminal, the last of which can be redrawn; plain lines elsewhere."""

from __future__ import annotations

import shutil
from typing import TextIO

_BOLD, _DIM, _PLAIN = "\033[1m", "\033[2m", "\033[0m"
_CLEAR = "\r\033[K"


class Screen:
    """Prints lines.

    Args:
        out: where they go.
        live: whether `out` is a terminal, where `show` overwrites its last line. Elsewhere it prints each new text.
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
        """Print a line that the next `show` replaces."""
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
        """Keep the line that was shown last."""
        if self._open:
            self._write("\n")
        self._open, self._shown = False, ""

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
