"""What this process holds of the machine: open files, threads, child processes, temporary files.

`tests/conftest.py` compares it before and after each test file.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import attrs

_SECONDS_TO_END = 5.0
"""For what is ending by itself, such as the thread of a job that nobody waits for. Else nothing waits."""
_FILES = Path("/proc/self/fd")
_PROCESSES = Path("/proc")


@attrs.frozen
class Held:
    """Each thing by what tells it from another one, and in words."""

    files: dict[tuple[str, str], str]
    threads: dict[int, str]
    processes: dict[int, str]
    temporary: dict[str, str]

    @classmethod
    def now(cls, temporary: Path) -> Held:
        """`temporary`: the folder in which this process makes its temporary files."""
        gc.collect()  # what nobody can reach is not held
        return cls(open_files(), threads(), child_processes(), files_in(temporary))

    def added_since(self, before: Held) -> list[str]:
        return [
            words
            for mine, old in (
                (self.files, before.files),
                (self.threads, before.threads),
                (self.processes, before.processes),
                (self.temporary, before.temporary),
            )
            for key, words in mine.items()
            if key not in old
        ]


def left_since(before: Held, now: Callable[[], Held], seconds: float = _SECONDS_TO_END) -> list[str]:
    """What is there and was not `before`, if it is still there after so many seconds."""
    until = time.monotonic() + seconds
    while (left := now().added_since(before)) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def open_files() -> dict[tuple[str, str], str]:
    """By number and by what it is: a socket or a pipe has a number of its own. Empty where there is no /proc."""
    found = {}
    for number in os.listdir(_FILES) if _FILES.is_dir() else ():
        try:
            target = os.readlink(_FILES / number)
        except FileNotFoundError:
            continue  # the folder's own, by which it was listed
        found[number, target] = f"file {number}: {target}"
    return found


def threads() -> dict[int, str]:
    return {
        id(thread): f"thread {thread.name}" + " (daemon)" * thread.daemon for thread in threading.enumerate()
    }


def child_processes() -> dict[int, str]:
    """Those that have ended and were not waited for, too. Empty where there is no /proc."""
    found = {}
    for status in _PROCESSES.glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().rpartition(")")
            if int(rest.split()[1]) == os.getpid():
                command = (status.parent / "cmdline").read_text().replace("\0", " ").strip()
                found[int(status.parent.name)] = f"process {status.parent.name}: {command or name + ')'}"
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return found


def files_in(folder: Path) -> dict[str, str]:
    return {path.name: f"temporary: {path}" for path in folder.iterdir()}
