"""Lines on a terminal, of which the last may still change; plain lines elsewhere."""

from __future__ import annotations

import shutil
from typing import TextIO

_BOLD, _DIM, _PLAIN = "\033[1m", "\033[2m", "\033[0m"
_CLEAR = "\r\033[K"


class Screen:
    """`live`: on a terminal, where `show` overwrites its own last line. Elsewhere it prints only what is new."""

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
        """A line that the next `show` replaces."""
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
        """What was shown last stays."""
        if self._open:
            self._write("\n")
        self._open, self._shown = False, ""

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
