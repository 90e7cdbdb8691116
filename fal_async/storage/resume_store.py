"""Where the record of an upload in parts is kept while it goes on: in a file, in a value, or nowhere.

`upload.py: Uploader` takes an interrupted upload up again by it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from fal_async.errors import ConfigurationError, UploadError
from fal_async.protocol.storage.multipart import SentPart, UploadRecord, UploadState, parse_record, part_line
from fal_async.storage.threads import in_thread

T = TypeVar("T")


class ResumeStore(Protocol):
    async def load(self) -> UploadRecord | None: ...
    async def begin(self, record: UploadRecord) -> None: ...
    async def note(self, part: SentPart, /) -> None: ...
    async def clear(self) -> None: ...


def resume_store_of(resume: object) -> ResumeStore | None:
    """ConfigurationError for what is neither a path nor an `UploadState`."""
    if resume is None:
        return None
    if isinstance(resume, UploadState):
        return _InState(resume)
    if isinstance(resume, str | os.PathLike):
        return _InFile(Path(resume))
    raise ConfigurationError(f"resume is a {type(resume).__name__}: expected a path or an UploadState")


class _InState:
    def __init__(self, state: UploadState) -> None:
        self._state = state

    async def load(self) -> UploadRecord | None:
        return self._state.record

    async def begin(self, record: UploadRecord) -> None:
        self._tell(record)

    async def note(self, _: SentPart, /) -> None:
        self._tell(self._state.record)  # the part is in it already

    async def clear(self) -> None:
        self._tell(None)

    def _tell(self, record: UploadRecord | None) -> None:
        self._state.record = record
        if self._state.on_change is not None:
            self._state.on_change(self._state)


class _InFile:
    """A line for each part that arrived, appended: a process that is killed leaves at worst half a line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def load(self) -> UploadRecord | None:
        """Written anew at once, so that half a line at its end doesn't spoil the next one."""
        record = parse_record(await self._on_disk(self._read))
        if record is not None:
            await self.begin(record)
        return record

    async def begin(self, record: UploadRecord) -> None:
        await self._on_disk(partial(self._write, record.to_json(), os.O_TRUNC))

    async def note(self, part: SentPart, /) -> None:
        await self._on_disk(partial(self._write, part_line(part), os.O_APPEND))

    async def clear(self) -> None:
        await self._on_disk(partial(self._path.unlink, missing_ok=True))

    def _read(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def _write(self, text: str, how: int) -> None:
        # For the owner's eyes only: a presigned URL is as good as a key to this one file.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | how, 0o600)
        with os.fdopen(descriptor, "ab" if how == os.O_APPEND else "wb", buffering=0) as file:
            file.write(text.encode())

    async def _on_disk(self, work: Callable[[], T]) -> T:
        try:
            return await in_thread(work)
        except OSError as error:
            raise UploadError(f"the resume record {str(self._path)!r}: {error.strerror or error}") from error
