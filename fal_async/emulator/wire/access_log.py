"""One line for each HTTP request, for people: when, what, the answer, how long it took, and how large it was."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiohttp import web

from fal_async.emulator.wire.recorder import Entry

_POLLS = frozenset({"status", "admin"})
"""Operations that clients repeat many times. Those that succeed are left out, unless all lines are wanted."""
_LONGEST = 48
"""Characters of an endpoint id or a path; longer ones are cut."""
_ID = 8
"""Characters of a request id that are shown: enough to tell the requests of one emulator apart."""


class AccessLog:
    """Writes the lines. They have neither headers nor queries, in which keys, tokens and signatures are sent.

    Args:
        write: function that gets each line, without a line break.
        everything: whether polls of a status, and calls of `/_emulator`, are logged also if they succeed.
    """

    def __init__(self, write: Callable[[str], None], *, everything: bool) -> None:
        self._write, self._everything = write, everything

    def __call__(self, entry: Entry, response: web.StreamResponse | None, fault: str | None) -> None:
        """Log a request that has ended. `response` is None if the connection ended without an answer."""
        succeeded = response is not None and response.status < 400 and fault is None
        if self._everything or not succeeded or entry.kind not in _POLLS:
            self._write(_line(entry, response, fault))


def _line(entry: Entry, response: web.StreamResponse | None, fault: str | None) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(entry.at))
    what = entry.endpoint_id or entry.path
    shown = what if len(what) <= _LONGEST else what[: _LONGEST - 3] + "..."
    # A caller chooses these two: control characters in them could change the terminal.
    shown, request_id = (
        "".join(c if c.isprintable() else "?" for c in text)
        for text in (shown, (entry.request_id or "")[:_ID])
    )
    status = "---" if response is None else str(response.status)
    taken = f"{(time.perf_counter() - entry.began) * 1000:.0f} ms"
    asked = f"{clock} {entry.method:6} {entry.kind:13} {shown:28} {request_id:8}"
    line = f"{asked} {status} {taken:>9} {_size(response):>9}"
    return line if fault is None else f"{line}  fault: {fault}"


def _size(response: web.StreamResponse | None) -> str:
    if response is None:
        return "no answer"
    size = response.body_length if response.prepared else response.content_length or 0
    if isinstance(response, web.Response) and isinstance(response.body, bytes):
        size = len(response.body)
    return f"{size} B" if size < 1000 else f"{size / 1000:.1f} kB" if size < 1e6 else f"{size / 1e6:.1f} MB"
