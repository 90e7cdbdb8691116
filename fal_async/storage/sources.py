"""Everything that can be uploaded as one kind of value: a `Source`."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import os
import stat
import tempfile
import threading
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import PurePath
from typing import Any, TypeVar

from fal_async.errors import ConfigurationError, UploadError
from fal_async.protocol.storage.input_files import File, is_file_object, is_image
from fal_async.protocol.storage.media import guess_content_type
from fal_async.storage.data_uri import image_bytes
from fal_async.storage.threads import in_thread, settled

T = TypeVar("T")
PIECE = 512 * 1024
"""Bytes read or written at a time: large enough that the hop to a thread costs nothing beside it."""
_EXPECTED = "a path, bytes, a binary file object, an async iterable of bytes, a Pillow image or a File"
_FORMATS = {"image/jpeg": "jpeg", "image/webp": "webp", "image/gif": "gif", "image/bmp": "bmp"}
UNNAMED = "upload.bin"
"""What fal's Python client calls it (protocol 7.5)."""


class Source:
    """A seekable binary file from `start` on, read by several readers at a time, each at its own place."""

    def __init__(self, file: Any, *, size: int, name: str, start: int = 0, in_memory: bool = False) -> None:
        self._file, self._start, self._in_memory = file, start, in_memory
        self._lock = threading.Lock()
        self._readings: set[asyncio.Future[Any]] = set()
        self.size: int = size
        self.name: str = name
        self.content_type: str | None = None

    async def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes; fewer only where the file ends. UploadError where it can't be read."""
        return await self.work(partial(self.read_now, offset, length))

    async def work(self, reading: Callable[[], T]) -> T:
        """`reading()`, which uses `read_now` for a piece: in a thread where it may wait for a disk."""
        if self._in_memory:
            return reading()
        running = asyncio.ensure_future(asyncio.to_thread(reading))
        self._readings.add(running)
        running.add_done_callback(self._readings.discard)
        return await settled(running)

    async def at_rest(self) -> None:
        """No thread reads any more. Of a request that ended early, aiohttp cancels who sends the body, no more."""
        if self._readings:
            await settled(asyncio.gather(*self._readings, return_exceptions=True))

    def read_now(self, offset: int, length: int) -> bytes:
        with self._lock, self._readable():
            self._file.seek(self._start + offset)
            data: bytes = self._file.read(length)
            while 0 < len(data) < length and (more := self._file.read(length - len(data))):
                data += more
            return data

    async def size_now(self) -> int:
        return await self.work(self._measure)

    def _measure(self) -> int:
        with self._lock, self._readable():
            end: int = self._file.seek(0, io.SEEK_END)
            return end - self._start

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # the latter where it was closed meanwhile
            raise UploadError(f"{self.name} can't be read: {error}") from error


@contextlib.asynccontextmanager
async def opened(file: Any, size: int | None = None) -> AsyncIterator[Source]:
    """Whatever it is, as a `Source`. What can't be read twice is copied to a temporary file first.

    `size`: what the caller says it has. UploadError where it can't be read, is empty, or has another size;
    ConfigurationError for what is no file.
    """
    async with contextlib.AsyncExitStack() as stack:
        source = await _open(file, stack)
        stack.push_async_callback(source.at_rest)  # before anything is closed or moved
        if size is not None and size != source.size:
            raise UploadError(f"{source.name} has {source.size} bytes, not {size} as size= says")
        if source.size == 0:
            raise UploadError(f"{source.name} is empty: there is nothing to upload")
        yield source


async def _open(file: Any, stack: contextlib.AsyncExitStack) -> Source:
    if isinstance(file, File):
        source = await _open_named(file, stack)
        source.name = file.file_name or source.name
        source.content_type = file.content_type or source.content_type
        return source
    if isinstance(file, str | PurePath):
        return await in_thread(partial(_open_path, file, stack))
    if isinstance(file, bytes | bytearray | memoryview):
        return _in_memory(bytes(file), UNNAMED)
    if is_image(file):
        return await in_thread(partial(_open_image, file, "png"))
    # Before the next one: what can be read as well, such as a subprocess's output, is iterated by lines.
    if is_file_object(file):
        return await _open_file_object(file, stack)
    if isinstance(file, AsyncIterable):
        return await _spooled(file, stack)
    raise ConfigurationError(f"a {type(file).__name__} is no file: expected {_EXPECTED}")


async def _open_named(file: File, stack: contextlib.AsyncExitStack) -> Source:
    """A picture goes in the format that its type or its name asks for."""
    if not is_image(file.data):
        return await _open(file.data, stack)
    wanted = file.content_type or guess_content_type(file.file_name, b"")
    return await in_thread(partial(_open_image, file.data, _FORMATS.get(wanted, "png")))


def _open_path(path: str | PurePath, stack: contextlib.AsyncExitStack) -> Source:
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
            raise UploadError(f"{os.fspath(path)!r} is {kind}: expected a file")
        handle = stack.enter_context(io.FileIO(path, "rb"))
        return Source(handle, size=os.fstat(handle.fileno()).st_size, name=PurePath(path).name)
    except OSError as error:
        raise UploadError(f"{os.fspath(path)!r} can't be read: {error.strerror or error}") from error


def _in_memory(data: bytes, name: str) -> Source:
    return Source(io.BytesIO(data), size=len(data), name=name, in_memory=True)


def _open_image(image: Any, format: str) -> Source:
    return _in_memory(image_bytes(image, format), f"image.{format}")


class _Turn(asyncio.Lock):
    """Held while a file object is read. Only tasks of the event loop that made it can wait for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop


_turns: weakref.WeakValueDictionary[int, _Turn] = weakref.WeakValueDictionary()
"""By the file object's id, as not every file object can be a key. The table is the module's: sessions may share
a file object. The task that holds a turn keeps the file object alive, so that no other one has its id meanwhile.
"""


def _turn_of(file: Any) -> _Turn:
    """UploadError where another event loop reads it now."""
    turn, loop = _turns.get(id(file)), asyncio.get_running_loop()
    if turn is None or (turn.loop is not loop and not turn.locked()):
        turn = _turns[id(file)] = _Turn(loop)
    if turn.loop is not loop:
        raise UploadError(f"{_name_of(file)} is being read in another event loop")
    return turn


async def _open_file_object(file: Any, stack: contextlib.AsyncExitStack) -> Source:
    """From its position on, where it can be read again; it is left open, where it was.

    Uploads of one file object take turns: it has one position only.
    """
    if isinstance(file, io.TextIOBase):
        raise ConfigurationError("the file is open as text: open it in binary mode, open(path, 'rb')")
    await stack.enter_async_context(_turn_of(file))
    name = _name_of(file)
    try:
        place = await in_thread(partial(_place_of, file))
    except (OSError, ValueError) as error:
        raise UploadError(f"{name} can't be read: {error}") from error
    if place is None:
        return await _spooled(_pieces_of(file, name), stack, name)
    start, size = place
    stack.push_async_callback(in_thread, partial(file.seek, start))
    return Source(file, start=start, size=size, name=name)


def _place_of(file: Any) -> tuple[int, int] | None:
    """Where it stands, and how much follows; None where it can be read only once."""
    seekable = getattr(file, "seekable", None)
    if seekable is None or inspect.iscoroutinefunction(file.read) or not seekable():
        return None
    start = file.tell()
    size = file.seek(0, io.SEEK_END) - start
    file.seek(start)
    return start, max(0, size)


def _name_of(file: Any) -> str:
    """Uploads of web frameworks have a `filename`."""
    name = getattr(file, "name", None) or getattr(file, "filename", None)
    return PurePath(name).name or UNNAMED if isinstance(name, str) else UNNAMED


async def _pieces_of(file: Any, name: str) -> AsyncIterator[Any]:
    try:
        while piece := await _piece_of(file):
            yield piece
    except (OSError, ValueError) as error:
        raise UploadError(f"{name} can't be read: {error}") from error


async def _piece_of(file: Any) -> Any:
    piece = await in_thread(partial(file.read, PIECE))
    return await piece if inspect.isawaitable(piece) else piece  # a coroutine is only made in the thread


async def _spooled(
    pieces: AsyncIterable[Any], stack: contextlib.AsyncExitStack, name: str = UNNAMED
) -> Source:
    """A copy on disk: a part that fails is sent again, which a stream can't give."""
    copy = await in_thread(lambda: stack.enter_context(_temporary_file()))
    size = 0
    async for piece in pieces:
        if not isinstance(piece, bytes | bytearray | memoryview):
            raise ConfigurationError(f"the file gives {type(piece).__name__}: expected bytes")
        try:
            size += await in_thread(partial(write_fully, copy, piece))
        except OSError as error:
            raise UploadError(f"no room for a temporary copy of the stream: {error.strerror}") from error
    return Source(copy, size=size, name=name)


def _temporary_file() -> Any:
    return tempfile.TemporaryFile(buffering=0)


def write_fully(file: Any, data: Any) -> int:
    """An unbuffered file may take a part of it only, as before the disk is full."""
    view = memoryview(data)
    written = 0
    while written < view.nbytes:
        written += file.write(view[written:])
    return written
