"""Read file objects of the user, also unseekable ones, with one reader at a time, and restore their positions."""

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
"""Bytes read or written at a time: large enough to make the cost of a thread hop negligible."""
UNNAMED = "upload.bin"
"""The name of a file without a name, as in fal's Python client (protocol 7.5)."""


class Turn(asyncio.Lock):
    """The lock of one file object. Only tasks of the event loop that created it can wait for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        self.reading: threading.Lock = threading.Lock()
        """Locked by the thread that reads, even after the thread's task was cancelled."""
        self.at_the_end: Callable[[], object] | None = None
        """Restores the position of the file object; called once when the lock is released."""

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run `work()`, which reads the file object, in a thread. It continues if this task is cancelled."""
        return await abandonable(partial(self._under_reading_lock, work))

    async def leave(self, file: Any) -> None:
        """Release the lock when no thread reads the file object any more. Keeps `file` alive until then."""
        work, self.at_the_end = self.at_the_end or _nothing, None
        await within_patience(partial(self._under_reading_lock, work), then=partial(self._release_lock, file))

    def _under_reading_lock(self, work: Callable[[], T]) -> T:
        with self.reading:
            return work()

    def _release_lock(self, _: Any) -> None:
        self.release()


def _nothing() -> None:
    """Used as `at_the_end` for a file object whose position can't be restored."""


_turns: weakref.WeakValueDictionary[int, Turn] = weakref.WeakValueDictionary()
"""By the `id` of the file object, because not every file object is hashable. Global, because sessions may share a
file object. The task that has the lock keeps the file object alive, so that its `id` is not reused before.
"""


@contextlib.asynccontextmanager
async def turn_at(file: Any) -> AsyncIterator[Turn]:
    """Wait for exclusive use of a file object, because a file object has only one position.

    Raises UploadError if another event loop is using the file object.
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
    """Return the name of a file object; `UNNAMED` if it has none. A web framework's upload has it in `filename`."""
    for attribute in ("name", "filename"):
        with contextlib.suppress(Exception):  # a property of a user's class may raise anything
            name = os.fsdecode(getattr(file, attribute))
            if PurePath(name).name:
                return PurePath(name).name
    return UNNAMED


@contextlib.contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn every exception of a file's `read` into an UploadError (a closed file raises ValueError)."""
    try:
        yield
    except FalError as error:
        error.from_caller = True  # raised by the caller's file, not fal's answer
        raise
    except Exception as error:
        raise UploadError(f"{name} can't be read: {why(error)}") from error


def checked_bytes(data: Any, name: str) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    if data is None:
        raise UploadError(f"{name} returned None: no data is ready to be read; open it in blocking mode")
    raise ConfigurationError(
        f"{name} returned {type(data).__name__}: expected bytes; open it in binary mode, 'rb'"
    )


def place_of(file: Any) -> tuple[int, int, int] | None:
    """Return the current position, where to start reading, and how many bytes follow; None if not seekable.

    A file object at its end, as after writing to it, is read from its start.
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
    """Return inode and modification time (ns) of a file on disk; None for others, such as a buffer."""
    inner = getattr(file, "file", file)  # a NamedTemporaryFile wraps its file
    if type(inner) not in (io.FileIO, io.BufferedReader, io.BufferedRandom):
        return None
    status = os.fstat(inner.fileno())
    return (status.st_ino, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def takes_no_size(file: Any) -> bool:
    """Return whether `read` takes no size, as that of an HTTP client's response or a chat bot's attachment."""
    try:
        inspect.signature(file.read).bind(PIECE)
    except TypeError:
        return True
    except ValueError:  # functions written in C may have no signature
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
    # `read` of a buffered reader blocks until it has all the bytes asked for; `read1` does not.
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
    """Seek an async file object to its start, and return whether that worked.

    An upload of a web framework is at its end if it was read before.
    """
    seek = getattr(file, "seek", None)
    if not inspect.iscoroutinefunction(seek):
        return False
    with contextlib.suppress(OSError, ValueError):
        await seek(0)
        return True
    return False


async def _has_more(file: Any) -> bool:
    """Wait until a pipe has data or is closed, and return True.

    The event loop waits, not a thread, because an abandoned thread would read data that is then lost. Returns False
    immediately for other files, and on event loops that can't wait for a pipe.
    """
    descriptor = _pipe_of(file)
    if descriptor is None:
        return False
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    try:
        loop.add_reader(descriptor, _set_ready, ready)
    except (NotImplementedError, OSError, RuntimeError, ValueError):
        return False
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
    return True


def _set_ready(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _pipe_of(file: Any) -> int | None:
    """Return the descriptor of a pipe, socket or character device; None otherwise.

    Returns None for wrapped readers too: they may have buffered the data already, and waiting for more would hang.
    """
    raw = file.raw if type(file) is io.BufferedReader else file
    if type(raw) is not io.FileIO:
        return None
    kind = os.fstat(raw.fileno()).st_mode
    return raw.fileno() if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or stat.S_ISCHR(kind) else None
