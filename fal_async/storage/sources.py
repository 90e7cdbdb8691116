"""Open every kind of file that can be uploaded as a `Source`."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tempfile
import threading
from array import array
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import PurePath
from typing import Any, TypeVar

from fal_async.errors import ConfigurationError, UploadError
from fal_async.protocol.storage.input_files import File, is_file_object, is_image
from fal_async.storage.file_objects import (
    UNNAMED,
    checked_bytes,
    name_of,
    pieces_of,
    place_of,
    readable,
    takes_no_size,
    turn_at,
    version_of,
    whole_of,
)
from fal_async.storage.local_paths import why
from fal_async.storage.pictures import format_of, image_bytes
from fal_async.storage.threads import abandonable, in_thread, within_patience

T = TypeVar("T")
_EXPECTED = "a path, bytes, a binary file object, an async iterable of bytes, a Pillow image or a File"


class Source:
    """The bytes of a file from the position `start`, which several tasks can read concurrently at any offset."""

    def __init__(
        self,
        file: Any,
        *,
        size: int,
        name: str,
        start: int = 0,
        in_memory: bool = False,
        lock: threading.Lock | None = None,
    ) -> None:
        self._file, self._start, self._in_memory = file, start, in_memory
        self._lock = threading.Lock() if lock is None else lock
        self._is_over = False
        self._version: tuple[int, int] | None = None
        self.size: int = size
        self.name: str = name
        self.content_type: str | None = None

    async def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes, or fewer at the end of the file. Raises UploadError if the file can't be read."""
        return await self.work(partial(self.read_now, offset, length))

    async def work(self, reading: Callable[[], T]) -> T:
        """Run `reading()`, which calls `read_now`, in a thread. If the file is in memory, no thread is used."""
        if self._in_memory:
            return reading()
        return await abandonable(reading)

    def end(self) -> None:
        """End the upload. A thread that still waits for its turn to read raises UploadError."""
        self._is_over = True

    def read_now(self, offset: int, length: int) -> bytes:
        with self._alone():
            with readable(self.name):
                self._file.seek(self._start + offset)
                data = checked_bytes(self._file.read(length), self.name)
                while 0 < len(data) < length and (more := self._file.read(length - len(data))):
                    data += more
            self._compare()
            return data

    async def check_unchanged(self) -> None:
        """Raise UploadError if the file has changed since the first read: the upload may mix two versions."""
        await self.work(self._compare_now)

    def _compare_now(self) -> None:
        with self._alone():
            self._compare()

    def _compare(self) -> None:
        with readable(self.name):
            size = self._file.seek(0, io.SEEK_END) - self._start
            version = version_of(self._file)
        if size != self.size:
            verb = "shrank" if size < self.size else "changed"
            words = f"{self.name} {verb} while it was read: it had {self.size} bytes, now it has {size}"
            raise UploadError(words, retryable=True)
        if self._version is None:
            self._version = version
        elif version != self._version:
            raise UploadError(f"{self.name} changed while it was read: upload it again", retryable=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock:
            if self._is_over:
                raise UploadError(f"{self.name} can't be read: its upload is over")
            yield


@contextlib.asynccontextmanager
async def opened(file: Any, size: int | None = None, *, again: bool = False) -> AsyncIterator[Source]:
    """Open `file` as a `Source`. A file that can be read only once is copied to a temporary file first.

    Args:
        file: Any file that `Storage.upload` accepts.
        size: The size in bytes that the caller expects. None (default): any size.
        again: Whether the same file will be opened again later, so that it must be readable twice; default False.

    Raises:
        UploadError: If `file` can't be read, is empty, or has another size.
        ConfigurationError: If `file` is not a file, or, with `again`, can be read only once.
    """
    async with contextlib.AsyncExitStack() as stack:
        source = await _open(file, stack, again)
        stack.callback(source.end)  # called before the file is closed and its position is restored
        if size is not None and size != source.size:
            raise UploadError(f"size={size}: {source.name} has {source.size} bytes")
        if source.size == 0:
            raise UploadError(f"{source.name} is empty: there is nothing to upload")
        yield source


async def _open(file: Any, stack: contextlib.AsyncExitStack, again: bool) -> Source:
    if isinstance(file, File):
        return await _open_named(_flat(file), stack, again)
    if isinstance(file, str | os.PathLike):
        return await _open_path(file, stack)
    if isinstance(file, bytes | bytearray | memoryview | array):
        return _in_memory(bytes(file), UNNAMED)
    if is_image(file):
        return await _open_image(file, "png")
    # Checked before AsyncIterable: a StreamReader, such as a subprocess's output, is both, and iterates by lines.
    if is_file_object(file):
        return await _open_file_object(file, stack, again)
    if isinstance(file, AsyncIterable):
        if again:
            raise _only_once(UNNAMED)
        return await _spooled(file, stack)
    raise ConfigurationError(f"file is of type {type(file).__name__}: expected {_EXPECTED}")


def _flat(file: File) -> File:
    """Merge nested Files. Name and type of the outer File take precedence."""
    while isinstance(inner := file.data, File):
        kind, name = file.content_type or inner.content_type, file.file_name or inner.file_name
        file = File(inner.data, content_type=kind, file_name=name)
    return file


async def _open_named(file: File, stack: contextlib.AsyncExitStack, again: bool) -> Source:
    """Open a File. An image is encoded in the format of the File's content type or name."""
    if is_image(file.data):
        source = await _open_image(file.data, format_of(file.content_type, file.file_name))
    else:
        source = await _open(file.data, stack, again)
        source.content_type = file.content_type
    source.name = file.file_name or source.name
    return source


async def _open_path(file: str | os.PathLike[Any], stack: contextlib.AsyncExitStack) -> Source:
    path = os.fsdecode(file)
    with readable(repr(path)):
        handle = await abandonable(partial(_opened_file, path), discard=io.FileIO.close)
        size = os.fstat(handle.fileno()).st_size
    return _owned(handle, stack, size=size, name=PurePath(path).name)


def _opened_file(path: str) -> io.FileIO:
    path = os.path.expanduser(path)
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise UploadError(f"{path!r} is {kind}: expected a file")
    return io.FileIO(path, "rb")


def _owned(handle: Any, stack: contextlib.AsyncExitStack, *, size: int, name: str) -> Source:
    """Return a Source whose `handle` is closed when `stack` exits, or later when no thread reads it any more."""
    lock = threading.Lock()

    def close() -> None:
        with lock:
            handle.close()

    stack.push_async_callback(within_patience, close)
    return Source(handle, size=size, name=name, lock=lock)


def _in_memory(data: bytes, name: str) -> Source:
    return Source(io.BytesIO(data), size=len(data), name=name, in_memory=True)


async def _open_image(image: Any, format: str) -> Source:
    # Only one thread may use an image at a time, because Pillow reads the image's file lazily.
    async with turn_at(image) as turn:
        data = await turn.in_thread(partial(image_bytes, image, format))
    source = _in_memory(data, f"image.{format}")
    source.content_type = f"image/{format}"
    return source


async def _open_file_object(file: Any, stack: contextlib.AsyncExitStack, again: bool) -> Source:
    """Open a file object at its current position. The file object stays open, and its position is restored.

    Uploads of one file object run one after another, because a file object has only one position.
    """
    if isinstance(file, io.TextIOBase):
        raise ConfigurationError("the file is open as text: open it in binary mode, open(path, 'rb')")
    name = name_of(file)
    turn = await stack.enter_async_context(turn_at(file))
    if takes_no_size(file):
        if again:
            raise _only_once(name)
        return _in_memory(await whole_of(file, name, turn), name)
    with readable(name):
        place = await turn.in_thread(partial(place_of, file))
    if place is None:
        if again:
            raise _only_once(name)
        return await _spooled(pieces_of(file, name, turn), stack, name)
    before, start, size = place
    turn.at_the_end = partial(file.seek, before)
    return Source(file, start=start, size=size, name=name, lock=turn.reading)


def _only_once(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name} can be read only once, but a call with a key reads it twice: for its digest and for the upload. "
        "Pass a path, bytes in a File, or the URL that storage.upload returns"
    )


async def _spooled(
    pieces: AsyncIterable[Any], stack: contextlib.AsyncExitStack, name: str = UNNAMED
) -> Source:
    """Copy the pieces to a temporary file, because a failed part is sent again and needs its bytes again."""
    copy = await _temporary_file(name)
    source = _owned(copy, stack, size=0, name=name)
    async for piece in pieces:
        data = checked_bytes(piece, name)
        try:
            source.size += await in_thread(partial(write_fully, copy, data))
        except OSError as error:
            raise UploadError(f"can't write a temporary copy of {name}: {why(error)}") from error
    return source


async def _temporary_file(name: str) -> Any:
    try:
        return await abandonable(partial(tempfile.TemporaryFile, buffering=0), discard=io.FileIO.close)
    except OSError as error:
        words = f"can't create a temporary copy of {name}: {why(error)}; set TMPDIR to a writable folder"
        raise UploadError(words) from error


def write_fully(file: Any, data: Any) -> int:
    """Write all of `data` and return its size in bytes.

    One write to an unbuffered file may be partial, for example on an almost full disk.
    """
    view = memoryview(data)
    written = 0
    while written < view.nbytes:
        written += file.write(view[written:])
    return written
