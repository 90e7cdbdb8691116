"""Store the record of a multipart upload in a file or in an `UploadState`.

`upload.py: Uploader` uses the record to continue an interrupted upload.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Protocol, TypeVar

from fal_async.errors import ConfigurationError, UploadError
from fal_async.protocol.storage.multipart import SentPart, UploadRecord, UploadState, parse_record, part_line
from fal_async.storage.local_paths import local_path, why
from fal_async.storage.threads import in_thread

T = TypeVar("T")
logger: logging.Logger = logging.getLogger("fal_async")
_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Flags for `os.open`: don't follow a symbolic link, and don't block on a pipe."""
_MOST = 16 * 1024 * 1024
"""Maximum number of bytes read from a record file. A record with 10,000 parts has less than two million bytes."""


class ResumeStore(Protocol):
    """Stores the record of one upload.

    `load` returns the record, or None if there is none that can be used. `begin` writes a new record, `note` adds a
    part that was sent, and `clear` deletes the record.
    """

    async def load(self) -> UploadRecord | None: ...
    async def begin(self, record: UploadRecord) -> None: ...
    async def note(self, part: SentPart, /) -> None: ...
    async def clear(self) -> None: ...


def resume_store_of(resume: object) -> ResumeStore | None:
    """Return the store for `resume`. Raises ConfigurationError unless it is None, a path or an `UploadState`."""
    if resume is None:
        return None
    if isinstance(resume, UploadState):
        return _InState(resume)
    if isinstance(resume, str | os.PathLike):
        return _InFile(local_path("resume", resume))
    raise ConfigurationError(f"resume is of type {type(resume).__name__}: expected a path or an UploadState")


class _InState:
    def __init__(self, state: UploadState) -> None:
        self._state = state

    async def load(self) -> UploadRecord | None:
        return self._state.record

    async def begin(self, record: UploadRecord) -> None:
        self._set(record)

    async def note(self, _: SentPart, /) -> None:
        self._set(self._state.record)  # the uploader has already added the part to the record

    async def clear(self) -> None:
        self._set(None)

    def _set(self, record: UploadRecord | None) -> None:
        self._state.record = record
        if self._state.on_change is not None:
            self._state.on_change(self._state)


class _InFile:
    """Appends a line for each part that was sent, so that a killed process leaves at most a partial last line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def load(self) -> UploadRecord | None:
        """Read the record and write it anew, so that the next line is not appended to a partial last line."""
        text, is_ours = await self._on_disk(self._read)
        record = parse_record(text)
        if record is not None and not is_ours:
            logger.warning("resume record %s: other users can change it; starting again", self._path)
            return None
        if record is not None:
            await self.begin(record)
        return record

    async def begin(self, record: UploadRecord) -> None:
        await self._on_disk(partial(self._replace, record.to_json().encode()))

    async def note(self, part: SentPart, /) -> None:
        await self._on_disk(partial(self._append, part_line(part).encode()))

    async def clear(self) -> None:
        try:
            await self._on_disk(partial(self._path.unlink, missing_ok=True))
        except UploadError as error:
            logger.warning("%s", error)  # not raised: the upload is complete, and the caller needs its URL

    def _read(self) -> tuple[bytes, bool]:
        """Return the content, and whether only this user can have written it. A missing file is empty."""
        try:
            file = self._opened(os.O_RDONLY, "rb")
        except FileNotFoundError:
            return b"", True
        with file:
            return file.read(_MOST), _is_ours(os.fstat(file.fileno()))

    def _replace(self, data: bytes) -> None:
        # Readable by the owner only (mode 0600), because everyone who has the presigned URL can write the upload.
        with contextlib.suppress(FileNotFoundError):
            _check_kind(os.lstat(self._path))
        descriptor, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=".fal-resume-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(temporary).replace(self._path)
        except BaseException:
            Path(temporary).unlink()
            raise

    def _append(self, data: bytes) -> None:
        with self._opened(os.O_WRONLY | os.O_APPEND, "ab") as file:
            file.write(data)

    def _opened(self, how: int, mode: str) -> IO[bytes]:
        descriptor = os.open(self._path, how | _PLAIN)
        try:
            _check_kind(os.fstat(descriptor))
            return os.fdopen(descriptor, mode)
        except BaseException:
            os.close(descriptor)
            raise

    async def _on_disk(self, work: Callable[[], T]) -> T:
        try:
            return await in_thread(work)
        except (OSError, ValueError) as error:
            raise UploadError(f"the resume record {str(self._path)!r}: {why(error)}") from error


def _check_kind(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")


def _is_ours(status: os.stat_result) -> bool:
    """Return whether this user owns the file and no other user can write it. Always True on Windows (no modes)."""
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
