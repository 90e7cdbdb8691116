"""The lines that an application prints while it handles a request, as log entries of this request.

fal reads the standard output and error of a runner. Here the requests of all applications share one process, so a
context variable says whose lines they are. Web frameworks copy it to the threads in which they run sync handlers.
What is printed outside of requests, or in other threads, only reaches the terminal.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import attrs

Log = Callable[[str, str], None]
"""Takes a line and its level; is called in the event loop."""


class _Lines:
    """The lines of one request."""

    def __init__(self, log: Log) -> None:
        self._log, self._loop = log, asyncio.get_running_loop()
        self._unfinished: dict[str, str] = {}
        self._lock = threading.Lock()

    def add(self, level: str, text: str) -> None:
        with self._lock:
            *lines, self._unfinished[level] = (self._unfinished.get(level, "") + text).split("\n")
        for line in lines:
            self._tell(line, level)

    def finish(self) -> None:
        for level, line in self._unfinished.items():
            self._tell(line, level)
        self._unfinished = {}

    def _tell(self, line: str, level: str) -> None:
        # A progress bar writes its line again and again after a carriage return: the terminal shows the last one.
        line = line.rstrip("\r").rpartition("\r")[2]
        if line.strip():
            # In the loop's own thread, too, so that the lines of all threads keep their order. A thread may print
            # after the loop is closed.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._log, line, level)


_LINES: ContextVar[_Lines | None] = ContextVar("lines of a mounted application", default=None)


@attrs.frozen(eq=False)
class _Tap:
    """A stream whose `write` also adds what the current request prints to its lines.

    The method is replaced and not the stream, since handlers of `logging` keep the stream that they got.
    """

    stream: Any
    write: Any
    before: Any

    def close(self) -> None:
        if vars(self.stream).get("write") is not self.write:
            return  # another program has replaced the method meanwhile
        if self.before is None:
            del self.stream.write
        else:
            self.stream.write = self.before


def _tap(stream: Any, level: str) -> _Tap:
    before, write = vars(stream).get("write"), stream.write

    def tapped(text: str) -> Any:
        if (lines := _LINES.get()) is not None:
            lines.add(level, text)
        return write(text)

    stream.write = tapped
    return _Tap(stream, tapped, before)


class _Taps:
    """The taps of all emulators of the process, which exist while applications handle requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._taps: list[_Tap] = []

    def open(self) -> None:
        """Tap the streams, again if another program, such as pytest, has replaced them."""
        with self._lock:
            self._users += 1
            for stream, level in ((sys.stdout, "STDOUT"), (sys.stderr, "STDERR")):
                if not any(tap.stream is stream for tap in self._taps):
                    with suppress(AttributeError, TypeError):  # None without a terminal, or no attributes
                        self._taps.append(_tap(stream, level))

    def close(self) -> None:
        with self._lock:
            self._users -= 1
            while not self._users and self._taps:
                self._taps.pop().close()


_TAPS = _Taps()


def keep_lines_of_this_task(log: Log) -> None:
    """Log what the current task prints until it is done, and what tasks and threads print that it starts."""
    lines = _Lines(log)
    _LINES.set(lines)
    _TAPS.open()

    def done(_: Any) -> None:
        lines.finish()
        _TAPS.close()

    if (task := asyncio.current_task()) is not None:
        task.add_done_callback(done)
