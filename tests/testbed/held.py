"""The resources that this process holds: open files, threads, child processes, temporary files.

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
"""Seconds to wait for things that are ending, such as the thread of an abandoned job."""
_FILES = Path("/proc/self/fd")
_PROCESSES = Path("/proc")


@attrs.frozen
class Held:
    """The resources at one time, each by its identity, with its description."""

    files: dict[tuple[str, str], str]
    threads: dict[int, str]
    processes: dict[int, str]
    temporary: dict[str, str]

    @classmethod
    def now(cls, temporary: Path) -> Held:
        """Take stock; `temporary` is the folder in which this process creates its temporary files."""
        gc.collect()  # unreachable objects do not count
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
    """Return what was added since `before` and has not gone after this many seconds."""
    until = time.monotonic() + seconds
    while (left := now().added_since(before)) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def open_files() -> dict[tuple[str, str], str]:
    """Return open files by descriptor and target; sockets and pipes have unique targets. Empty without /proc."""
    found = {}
    for number in os.listdir(_FILES) if _FILES.is_dir() else ():
        try:
            target = os.readlink(_FILES / number)
        except FileNotFoundError:
            continue  # the descriptor that was open for this listing
        found[number, target] = f"file {number}: {target}"
    return found


def threads() -> dict[int, str]:
    return {
        id(thread): f"thread {thread.name}" + " (daemon)" * thread.daemon for thread in threading.enumerate()
    }


def child_processes() -> dict[int, str]:
    """Return child processes, including ended ones that were not waited for. Empty without /proc."""
    found = {}
    for status in _PROCESSES.glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().rpartition(")")
            if int(rest.split()[1]) == os.getpid():
                command = (status.parent / "cmdline").read_text().replace("\0", " ").strip()
                found[int(status.parent.name)] = f"process {status.parent.name}: {command or name + ')'}"
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
    return found


def files_in(folder: Path) -> dict[str, str]:
    return {path.name: f"temporary: {path}" for path in folder.iterdir()}
