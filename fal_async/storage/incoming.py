"""A file that is on its way to disk: beside its target, and only whole under its name."""

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

DownloadProgress = Callable[[int, int | None], Awaitable[None] | None]
T = TypeVar("T")


class Incoming:
    """A file that is not whole yet, under a name of its own beside its target."""

    def __init__(self, folder: Path, on_progress: DownloadProgress | None) -> None:
        self._path = folder / f".fal-{secrets.token_hex(8)}.part"
        self._file: FileIO | None = None
        self._writing: asyncio.Future[None] | None = None
        self._on_progress = on_progress
        self.progress: Progress = Progress()
        self.headers: Mapping[str, str] = {}
        """Of the answer whose body was taken last."""
        self.head: bytes = b""
        """The first bytes of what is here, by which its type is told."""
        self.began: bool = False
        """Whether the current answer's body had begun."""

    async def open(self) -> None:
        await self._on_disk(in_thread(self._create))

    def _create(self) -> None:
        self._file = FileIO(self._path, "xb")

    async def go_on(self, progress: Progress, headers: Mapping[str, str]) -> None:
        """Where the next answer's body belongs: after what is here, or in place of it."""
        file = self._file
        if progress.offset == 0 and self.progress.offset and file is not None:
            await self._on_disk(in_thread(lambda: (file.seek(0), file.truncate())))
        if progress.offset == 0:
            self.head = b""
        self.progress, self.headers, self.began = progress, headers, True

    def distrust(self) -> None:
        """What is here can't be gone on with: another version of the file may be at the URL by now."""
        self.progress = attrs.evolve(self.progress, validator=None)

    async def write(self, pieces: list[bytes], size: int) -> None:
        """Begins to; waits for the write before. So one piece goes to disk while the next one arrives."""
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
        """Until what was given to `write` is on disk."""
        writing = self._writing
        if writing is not None:
            try:
                await self._on_disk(settled(writing))
            finally:
                self._writing = None

    async def keep_as(self, name: str) -> Path:
        """In place of the file that was there."""
        kept = self._path.parent / name
        await self.close()
        await self._on_disk(in_thread(partial(_replace, self._path, kept)))
        return kept

    async def keep_beside(self, name: str, taken: set[str], *, take_equal: bool = False) -> Path:
        """Under that name, or that with a number: never in place of another file, nor of what is `taken`.

        `take_equal`: a file that has the name, and the same bytes, is the one.
        """
        await self.close()
        return await self._on_disk(in_thread(partial(_keep_beside, self._path, name, taken, take_equal)))

    async def discard(self) -> None:
        """Also where this task is cancelled once more meanwhile."""
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


def _replace(path: Path, kept: Path) -> None:
    check_replaceable(kept)  # once more: it may have come there meanwhile
    path.replace(kept)


def _keep_beside(path: Path, name: str, taken: set[str], take_equal: bool) -> Path:
    number = 1
    while True:
        kept = path.parent / numbered(name, number)
        number += 1
        if _folded(kept.name) in taken:
            continue
        try:
            _claim(path, kept)
        except FileExistsError:
            if not (take_equal and _are_equal(path, kept)):
                continue
            path.unlink()
        taken.add(_folded(kept.name))
        return kept


def _are_equal(path: Path, other: Path) -> bool:
    try:
        return stat.S_ISREG(other.lstat().st_mode) and filecmp.cmp(path, other, shallow=False)
    except OSError:  # it went away, or can't be read: it is another one
        return False


def _folded(name: str) -> str:
    """Equal for what is one name where upper and lower case are one: the folder may be copied there."""
    return unicodedata.normalize("NFC", name).casefold()


def _claim(path: Path, kept: Path) -> None:
    """FileExistsError where the name is taken, by whomever: nothing is overwritten."""
    try:
        os.link(path, kept)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        os.close(os.open(kept, os.O_CREAT | os.O_EXCL))
        path.replace(kept)
    else:
        path.unlink()
