"""Tables for people: aligned columns, whose last one is wrapped to the width of the terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from decimal import Decimal

from fal_async.cli.output import put_line
from fal_async.cli.screen import bold, is_live, printable

_GAP = "  "
_LEAST_WRAPPED = 24
"""Characters that the last column keeps in a narrow terminal."""
BAR_WIDTH = 24
"""Characters of the longest bar."""
_EIGHTHS = " ▏▎▍▌▋▊▉"


def put_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a table on standard output. A column without any text is left out.

    Args:
        headers: the names of the columns.
        rows: the cells of each row. Control characters in them are replaced.
        right: names of the columns that are aligned to the right, such as numbers.
    """
    cells = [[_one_line(cell) for cell in row] for row in rows]
    kept = [at for at in range(len(headers)) if any(row[at] for row in cells)]
    names = [headers[at] for at in kept]
    columns = [[row[at] for row in cells] for at in kept]
    widths = [max(map(len, [name, *column])) for name, column in zip(names, columns, strict=True)]
    put_line(bold(_GAP.join(_aligned(names, names, widths, right)).rstrip()))
    for row in zip(*columns, strict=True):
        for line in _lines(names, row, widths, right):
            put_line(line)


def bar(value: Decimal, most: Decimal) -> str:
    """Return a bar whose length is the share of `value` in `most`; "" if standard output is not a terminal."""
    if not is_live(sys.stdout) or most <= 0 or value <= 0:
        return ""
    eighths = max(1, round(value / most * BAR_WIDTH * 8))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


def _aligned(
    names: Sequence[str], row: Sequence[str], widths: Sequence[int], right: Sequence[str]
) -> Iterator[str]:
    for name, cell, width in zip(names, row, widths, strict=True):
        yield cell.rjust(width) if name in right else cell.ljust(width)


def _lines(
    names: Sequence[str], row: Sequence[str], widths: Sequence[int], right: Sequence[str]
) -> Iterator[str]:
    """Yield the lines of a row: one, or several if its last cell does not fit into the terminal."""
    before = _GAP.join([*_aligned(names[:-1], row[:-1], widths[:-1], right), ""])
    width = shutil.get_terminal_size().columns - len(before)
    if not is_live(sys.stdout) or names[-1] in right or len(row[-1]) <= max(width, _LEAST_WRAPPED):
        yield _GAP.join(_aligned(names, row, widths, right)).rstrip()
        return
    first, *further = textwrap.wrap(row[-1], max(width, _LEAST_WRAPPED))
    yield before + first
    for line in further:
        yield " " * len(before) + line
