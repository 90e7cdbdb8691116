"""The temporary file of a download, which gets its final name when it is complete.

Where the system allows it, the file has no name until then, so that a killed process leaves nothing behind.
Elsewhere it is named `.fal-<hex>.part`. Such files of killed processes are never deleted here: another process,
perhaps on another host with the same network disk, may still be writing them.
"""

from __future__ import annotations

import asyncio
import contextlib
import filecmp
import os
import secrets
import stat
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TypeVar

import attrs

from fal_async.callbacks import call_back
from fal_async.errors import DownloadError
from fal_async.protocol.storage.downloads import Progress
from fal_async.protocol.storage.media import HEAD, numbered
from fal_async.storage.destination import check_replaceable
from fal_async.storage.local_paths import shown, why
from fal_async.storage.sources import write_fully
from fal_async.storage.threads import in_thread, settled
from fal_async.storage.unnamed_files import give_name, give_name_or_copy, open_unnamed, path_of

DownloadProgress = Callable[[int, int | None], Awaitable[None] | None]
"""Called with the bytes received and the total in bytes (None if unknown); may be async."""
T = TypeVar("T")


class Incoming:
    """The temporary file of a download, in the folder of its target."""

    def __init__(self, folder: Path, on_progress: DownloadProgress | None) -> None:
        self._path = folder / f".fal-{secrets.token_hex(8)}.part"
        self._file: FileIO | None = None
        self._is_named: bool = False
        """Whether the file is at `_path`. If not, it has no name, and exists only while `_file` is open."""
        self._writing: asyncio.Future[None] | None = None
        self._on_progress = on_progress
        self.progress: Progress = Progress()
        self.headers: Mapping[str, str] = {}
        """Headers of the last response whose body was written."""
        self.head: bytes = b""
        """The first bytes, for guessing the content type."""
        self.has_begun: bool = False
        """Whether the body of the current response has begun."""

    @property
    def _unnamed(self) -> FileIO | None:
        """The open file if it has no name yet; else None."""
        return None if self._is_named else self._file

    async def open(self) -> None:
        await self._on_disk(in_thread(self._create))

    def _create(self) -> None:
        self._file = open_unnamed(self._path.parent)
        if self._file is None:
            self._file, self._is_named = FileIO(self._path, "xb"), True

    async def prepare(self, progress: Progress, headers: Mapping[str, str]) -> None:
        """Prepare for the body of a response, which continues the file, or replaces it if the offset is 0."""
        file = self._file
        if progress.offset == 0 and self.progress.offset and file is not None:
            await self._on_disk(in_thread(lambda: (file.seek(0), file.truncate())))
        if progress.offset == 0:
            self.head = b""
        self.progress, self.headers, self.has_begun = progress, headers, True

    def drop_validator(self) -> None:
        """Delete the validator, so that the next HTTP request fetches the whole file, which may have changed."""
        self.progress = attrs.evolve(self.progress, validator=None)

    async def write(self, pieces: list[bytes], size: int) -> None:
        """Wait for the previous write and start this one, which runs while the next piece is received."""
        await self.flush()
        if not size:
            return
        if len(self.head) < HEAD:
            self.head = (self.head + b"".join(piece[:HEAD] for piece in pieces))[:HEAD]
        self._writing = asyncio.ensure_future(in_thread(partial(self._write_now, pieces)))
        self.progress = attrs.evolve(self.progress, offset=self.progress.offset + size)
        await call_back(self._on_progress, self.progress.offset, self.progress.total)

    def _write_now(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            write_fully(self._file, piece)

    async def flush(self) -> None:
        """Wait until the last `write` has finished."""
        writing = self._writing
        if writing is not None:
            try:
                await self._on_disk(settled(writing))
            finally:
                self._writing = None

    async def finish(self) -> None:
        """Wait for the last write. A named file is then closed; an unnamed one stays open until it gets a name."""
        await self.flush()
        file = self._file
        if self._is_named:
            await self.close()
        elif file is not None:
            # Some file systems report a failed write only at a close.
            await self._on_disk(in_thread(lambda: os.close(os.dup(file.fileno()))))

    async def keep_as(self, name: str) -> Path:
        """Give the finished file the name `name`, replacing an existing file."""
        kept = self._path.parent / name
        await self._on_disk(in_thread(partial(self._replace, kept)))
        return kept

    async def keep_beside(self, name: str, taken: set[str], *, take_equal: bool = False) -> Path:
        """Give the finished file the name `name`, with a number if an existing file or an entry of `taken` has it.

        With `take_equal`, if an existing file has the same name and bytes, this one is deleted and the path of the
        existing one is returned. `taken` contains case-folded names; the new name is added to it.
        """
        return await self._on_disk(in_thread(partial(self._keep_beside, name, taken, take_equal)))

    async def discard(self) -> None:
        """Close the file and delete it unless it was kept, even if this task is cancelled again while it waits."""
        try:
            await self.close()
        finally:
            with contextlib.suppress(OSError):
                await in_thread(partial(self._path.unlink, missing_ok=True))

    async def close(self) -> None:
        try:
            await self.flush()
        finally:
            file, self._file = self._file, None
            if file is not None:
                await self._on_disk(in_thread(file.close))

    async def _on_disk(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except OSError as error:
            raise DownloadError(f"can't write to {shown(self._path.parent)}: {why(error)}") from error

    def _replace(self, kept: Path) -> None:
        check_replaceable(kept)  # again, because it may have been created during the download
        if (file := self._unnamed) is not None:
            with contextlib.suppress(OSError):
                give_name(file, kept)
                return
            self._add_temporary_name(file)
        self._path.replace(kept)

    def _keep_beside(self, name: str, taken: set[str], take_equal: bool) -> Path:
        number = 1
        while True:
            kept = self._path.parent / numbered(name, number)
            number += 1
            if _folded(kept.name) in taken:
                continue
            try:
                self._claim(kept)
            except FileExistsError:
                if not (take_equal and self._equals(kept)):
                    continue
            taken.add(_folded(kept.name))
            return kept

    def _claim(self, kept: Path) -> None:
        """Give the file the name `kept` atomically. Raises FileExistsError if the name exists."""
        if (file := self._unnamed) is not None:
            try:
                give_name(file, kept)
                return
            except FileExistsError:
                raise
            except OSError:
                self._add_temporary_name(file)
        _rename_if_free(self._path, kept)

    def _equals(self, other: Path) -> bool:
        file = self._unnamed
        return _are_equal(self._path if file is None else path_of(file), other)

    def _add_temporary_name(self, file: FileIO) -> None:
        """Make an unnamed file, or its copy, available at `_path`, from which it can be renamed."""
        give_name_or_copy(file, self._path)
        self._is_named = True


def _are_equal(path: Path, other: Path) -> bool:
    try:
        return stat.S_ISREG(other.lstat().st_mode) and filecmp.cmp(path, other, shallow=False)
    except OSError:  # a file that was deleted or is not readable counts as different
        return False


def _folded(name: str) -> str:
    """Fold case, because the folder may be copied to a file system that ignores case."""
    return unicodedata.normalize("NFC", name).casefold()


def _rename_if_free(path: Path, kept: Path) -> None:
    """Rename `path` to `kept` atomically. Raises FileExistsError if the name exists: nothing is overwritten."""
    try:
        os.link(path, kept)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.close(os.open(kept, os.O_CREAT | os.O_EXCL))
        path.replace(kept)
    else:
        path.unlink()
