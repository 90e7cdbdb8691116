"""Prints the names and the sizes of files."""

from __future__ import annotations

import sys
from pathlib import Path

from fal_async.cli.screen import is_live


def file_line(path: Path) -> str:
    """Return the name of a file: for a person with its size, for a program alone."""
    return f"{path}  {size_text(path.stat().st_size)}" if is_live(sys.stdout) else str(path)


def size_text(size: int) -> str:
    """Return a number of bytes for people: `345 kB`."""
    value, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
