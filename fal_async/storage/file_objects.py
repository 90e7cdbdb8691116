"""File objects of a user: whose turn it is, where they stand, and pieces of what can be read only once."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import os
import stat
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import PurePath
from typing import Any, TypeVar

from fal_async.errors import ConfigurationError, FalError, UploadError
from fal_async.storage.local_paths import why
from fal_async.storage.threads import abandonable, within_patience

T = TypeVar("T")
PIECE = 512 * 1024
"""Bytes read or written at a time: large enough that the hop to a thread costs nothing beside it."""
UNNAMED = "upload.bin"
"""What fal's Python client calls it (protocol 7.5)."""


class Turn(asyncio.Lock):
    """Held while a file object is read. Only tasks of the event loop that made it can wait for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        self.reading: threading.Lock = threading.Lock()
        """Held by the thread that reads, also by one that was given up."""
        self.at_the_end: Callable[[], object] | None = None

    async def in_thread(self, work: Callable[[], T]) -> T:
        """`work()`, which reads the file object: in a thread, which is left to itself if this task is cancelled."""
        return await abandonable(partial(self._undisturbed, work))

    async def leave(self, file: Any) -> None:
        """Hand it on; once a thread that hangs in it has come back, if there is one. Keeps `file` alive so long."""
        work, self.at_the_end = self.at_the_end or _nothing, None
        await within_patience(partial(self._undisturbed, work), then=partial(self._hand_on, file))

    def _undisturbed(self, work: Callable[[], T]) -> T:
        with self.reading:
            return work()

    def _hand_on(self, _: Any) -> None:
        self.release()


def _nothing() -> None:
    """Of what can't be put back where it was."""


_turns: weakref.WeakValueDictionary[int, Turn] = weakref.WeakValueDictionary()
"""By the file object's id, as not every file object can be a key. The table is the module's: sessions may share
a file object. Who holds a turn keeps the file object alive, so that no other one has its id meanwhile.
"""


@contextlib.asynccontextmanager
async def turn_at(file: Any) -> AsyncIterator[Turn]:
    """A file object has one position only, so that its uploads take turns.

    UploadError where another event loop has it.
    """
    turn, loop = _turns.get(id(file)), asyncio.get_running_loop()
    if turn is None or (turn.loop is not loop and not turn.locked()):
        turn = _turns[id(file)] = Turn(loop)
    if turn.loop is not loop:
        raise UploadError(f"{name_of(file)} is being read in another event loop")
    await turn.acquire()
    try:
        yield turn
    finally:
        await turn.leave(file)


def name_of(file: Any) -> str:
    """Uploads of web frameworks have a `filename`."""
    for attribute in ("name", "filename"):
        with contextlib.suppress(Exception):  # a property of anybody's
            name = os.fsdecode(getattr(file, attribute))
            if PurePath(name).name:
                return PurePath(name).name
    return UNNAMED


@contextlib.contextmanager
def readable(name: str) -> Iterator[None]:
    """Whatever somebody's `read` raises is an UploadError; a file that was closed says so by a ValueError."""
    try:
        yield
    except FalError as error:
        error.from_caller = True  # not fal's answer, whatever it looks like
        raise
    except Exception as error:
        raise UploadError(f"{name} can't be read: {why(error)}") from error


def checked_bytes(data: Any, name: str) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    if data is None:
        raise UploadError(f"{name} gives None: it has nothing to read now; open it in blocking mode")
    raise ConfigurationError(
        f"{name} gives {type(data).__name__}: expected bytes; open it in binary mode, 'rb'"
    )


def place_of(file: Any) -> tuple[int, int, int] | None:
    """Where it stands, where to begin, and how much follows; None where it can be read only once.

    One that stands at its end, as after it was written, is begun at its beginning.
    """
    seekable = getattr(file, "seekable", None)
    if seekable is None or inspect.iscoroutinefunction(file.read) or takes_no_size(file) or not seekable():
        return None
    place: int = file.tell()
    end: int = file.seek(0, io.SEEK_END)
    start = place if place < end else 0
    file.seek(place)
    return place, start, end - start


def version_of(file: Any) -> tuple[int, int] | None:
    """Which version of a file on disk this is; None for what is none, such as a buffer."""
    inner = getattr(file, "file", file)  # of a temporary file with a name
    if type(inner) not in (io.FileIO, io.BufferedReader, io.BufferedRandom):
        return None
    status = os.fstat(inner.fileno())
    return (status.st_ino, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def takes_no_size(file: Any) -> bool:
    """Whether `read` gives all at once: of a chat bot's attachment, or of an HTTP client's response."""
    try:
        inspect.signature(file.read).bind(PIECE)
    except TypeError:
        return True
    except ValueError:  # of what is written in C there may be no signature
        return False
    return False


async def whole_of(file: Any, name: str, turn: Turn) -> bytes:
    with readable(name):
        return checked_bytes(await _called(turn, file.read), name)


async def pieces_of(file: Any, name: str, turn: Turn) -> AsyncIterator[bytes]:
    with readable(name):
        piece = await _piece_of(file, name, turn)
        if not piece and await _is_rewound(file):
            piece = await _piece_of(file, name, turn)
        while piece:
            yield piece
            piece = await _piece_of(file, name, turn)


async def _piece_of(file: Any, name: str, turn: Turn) -> bytes:
    # A buffered reader waits in `read` until it has all that it was asked for.
    read = file.read1 if type(file) is io.BufferedReader else file.read
    while True:
        waited = await _has_more(file)
        piece = await _called(turn, read, PIECE)
        if piece is not None or not waited:
            return checked_bytes(piece, name)


async def _called(turn: Turn, read: Callable[..., Any], *size: int) -> Any:
    if inspect.iscoroutinefunction(read):
        return await read(*size)
    piece = await turn.in_thread(partial(read, *size))
    return await piece if inspect.isawaitable(piece) else piece


async def _is_rewound(file: Any) -> bool:
    """An upload of a web framework that was looked at before: it stands at its end."""
    seek = getattr(file, "seek", None)
    if not inspect.iscoroutinefunction(seek):
        return False
    with contextlib.suppress(OSError, ValueError):
        await seek(0)
        return True
    return False


async def _has_more(file: Any) -> bool:
    """Waits until a pipe has something to read, or its end: in the loop, so that nothing is read, and lost, by
    a thread that was given up. False at once for other things, and for loops that can't wait for a pipe."""
    descriptor = _pipe_of(file)
    if descriptor is None:
        return False
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    try:
        loop.add_reader(descriptor, _note, ready)
    except (NotImplementedError, OSError, RuntimeError, ValueError):
        return False
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
    return True


def _note(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _pipe_of(file: Any) -> int | None:
    """The descriptor of what may be silent. Only of plain files: others may have read ahead, and then wait for
    what has arrived already."""
    raw = file.raw if type(file) is io.BufferedReader else file
    if type(raw) is not io.FileIO:
        return None
    kind = os.fstat(raw.fileno()).st_mode
    return raw.fileno() if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or stat.S_ISCHR(kind) else None
