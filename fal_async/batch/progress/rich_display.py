"""Draws progress with rich, if it is installed, in terminals and notebooks."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Never, TextIO

from fal_async.batch.progress.faces import Face, takes_more
from fal_async.batch.progress.plain_lines import PlainLines
from fal_async.batch.progress.wording import counts, ending, pace, share
from fal_async.batch.summary import BatchSummary

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.live import Live

_shown: list[LiveFace] = []
"""The live display of this process, if any. There is at most one, because two would overwrite each other."""


def face_for(out: TextIO) -> Face:
    """Return a live display if `out` can overwrite lines, rich is installed, and no other batch has one.

    Otherwise return plain lines.
    """
    may_be_live = out.isatty() or "ipykernel" in sys.modules
    if not may_be_live or _shown:
        return PlainLines(out)
    console = _console(out)
    if console is None:
        return PlainLines(out, hint=True)
    if console.is_dumb_terminal or not _can_overwrite(console):
        return PlainLines(out)
    return LiveFace(console)


def _console(out: TextIO) -> Console | None:
    if importlib.util.find_spec("rich") is None:
        return None
    from rich.console import Console

    class QuietConsole(Console):
        def on_broken_pipe(self) -> Never:
            raise BrokenPipeError  # rich itself would exit the program

    return QuietConsole(file=out)


def _can_overwrite(console: Console) -> bool:
    if console.is_jupyter:
        return importlib.util.find_spec("ipywidgets") is not None  # without it rich shows only a warning
    return console.is_terminal


class LiveFace:
    """A bar and two lines that are redrawn in place. Lines that the program prints appear above them."""

    every: float = 0.25

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._console = console
        self._live: Live = Live(
            console=console,
            auto_refresh=False,  # it would need a thread
            transient=True,
            # Redirected only if it is a terminal, because output to a file must stay as the program wrote it.
            redirect_stdout=console.is_jupyter or _is_terminal(sys.stdout),
            redirect_stderr=console.is_jupyter or _is_terminal(sys.stderr),
        )
        self._live.start()
        _shown.append(self)

    def show(self, endpoint_id: str, summary: BatchSummary, *, changed: bool) -> None:  # noqa: ARG002
        if takes_more(self._console.file):
            self._live.update(_drawn(endpoint_id, summary), refresh=True)

    def end(self, endpoint_id: str, summary: BatchSummary) -> None:
        self._live.update("")
        self._stop()
        self._console.print(f"{endpoint_id}: {ending(summary)}", markup=False, highlight=False)

    def close(self) -> None:
        if self in _shown:
            self._stop()

    def _stop(self) -> None:
        _shown.remove(self)
        self._console.quiet = not takes_more(self._console.file)
        self._live.stop()


def _is_terminal(out: TextIO | None) -> bool:
    return out is not None and not out.closed and out.isatty()


def _drawn(endpoint_id: str, summary: BatchSummary) -> Group:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    def line(text: str) -> Text:
        return Text(text, no_wrap=True, overflow="ellipsis")

    part = share(summary)
    head = Table.grid(padding=(0, 1), expand=True)
    head.add_column(ratio=None)
    head.add_column(ratio=1)
    head.add_column()
    bar = ProgressBar(total=None if part is None else 1.0, completed=part or 0.0)
    head.add_row(line(endpoint_id), bar, line("" if part is None else f"{part:.0%}"))
    return Group(head, line(counts(summary)), line(pace(summary)))
