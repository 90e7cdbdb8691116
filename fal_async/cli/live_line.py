"""Shows on standard error what a verb is doing: a line that is redrawn in a terminal, or one for each change."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fal_async.cli.messages import say
from fal_async.cli.screen import is_live, printable

if TYPE_CHECKING:
    from rich.live import Live
    from rich.spinner import Spinner

_EVERY = 0.1
"""Seconds between two drawings."""


class QuietLine:
    """Shows nothing."""

    is_redrawn = False
    """Whether `show` replaces the text before, so that it may be called often."""

    def show(self, text: str) -> None:
        """Show what is being done now."""

    def note(self, text: str) -> None:
        """Print a line that stays, such as a log line of the model."""

    def close(self) -> None:
        """Stop showing anything."""


class PlainLine(QuietLine):
    """Prints a line for each change, for logs and pipes, and where rich is not installed."""

    def __init__(self) -> None:
        self._shown = ""

    def show(self, text: str) -> None:
        if text != self._shown:
            self._shown = text
            say(text)

    def note(self, text: str) -> None:
        say(printable(text))


class RichLine(QuietLine):
    """Draws a spinner, the text and the elapsed seconds in one line at the bottom of a terminal."""

    is_redrawn = True

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        self._began = time.monotonic()
        self._text = ""
        self._spinner: Spinner = Spinner("dots")
        self._live: Live = Live(
            self._spinner, console=Console(stderr=True), auto_refresh=False, transient=True
        )
        self._live.start()
        self._timer = asyncio.get_running_loop().call_later(_EVERY, self._tick)

    def show(self, text: str) -> None:
        self._text = text
        self._draw()

    def note(self, text: str) -> None:
        from rich.text import Text

        self._live.console.print(Text(printable(text), style="dim"))

    def close(self) -> None:
        """Stop showing anything. Closing twice does nothing."""
        self._timer.cancel()
        self._live.stop()

    def _tick(self) -> None:
        self._draw()
        self._timer = asyncio.get_running_loop().call_later(_EVERY, self._tick)

    def _draw(self) -> None:
        from rich.text import Text

        elapsed = time.monotonic() - self._began
        text = Text.assemble(self._text, (f"  {elapsed:.1f} s", "cyan"), no_wrap=True, overflow="ellipsis")
        self._spinner.update(text=text)
        self._live.refresh()


@contextlib.contextmanager
def live_line(*, quiet: bool, only_redrawn: bool = False) -> Iterator[QuietLine]:
    """Open the line on standard error that fits: redrawn in a terminal if rich is installed, else plain.

    Args:
        quiet: whether nothing is shown.
        only_redrawn: whether nothing is shown where the line can't be redrawn; default False.
    """
    line: QuietLine
    if quiet or sys.stderr is None:
        line = QuietLine()
    elif is_live(sys.stderr) and importlib.util.find_spec("rich") is not None:
        line = RichLine()
    else:
        line = QuietLine() if only_redrawn else PlainLine()
    try:
        yield line
    finally:
        line.close()
