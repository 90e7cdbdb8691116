"""Stored files with their lifetimes and ACLs, and uploads, complete or not."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path, PurePosixPath

import attrs

from fal_async.emulator.core import Core
from fal_async.emulator.storage.file_contents import InMemory, OnDisk
from fal_async.emulator.storage.file_store import StoredFile
from fal_async.emulator.storage.lifecycle import Lifecycle
from fal_async.emulator.storage.upload_store import Part, Upload

_SHARED = "contents/"
"""Folder of contents that several files have."""


@attrs.frozen(kw_only=True)
class SavedFile:
    """A file. `content` is the name of its bytes in the folder of the save."""

    path: str
    content: str
    content_type: str
    owner: str = ""
    lifecycle: Lifecycle = attrs.field(factory=Lifecycle)
    expires_at: float | None = None
    unread_since: float | None = None


@attrs.frozen(kw_only=True)
class SavedFiles:
    files: list[SavedFile] = attrs.field(factory=list)
    gone: dict[str, int] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class SavedUpload:
    """An upload; a part is its number, its ETag and its size in bytes."""

    upload_id: str
    path: str
    content_type: str
    owner: str = ""
    lifecycle: Lifecycle = attrs.field(factory=Lifecycle)
    multipart: bool = False
    signature: str | None = None
    completed: bool = False
    parts: list[tuple[int, str, int]] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class SavedUploads:
    defaults: dict[str, Lifecycle] = attrs.field(factory=dict)
    uploads: list[SavedUpload] = attrs.field(factory=list)


@attrs.frozen
class Copy:
    """Bytes to write: a file to copy, or contents of the memory, and their name in the folder of the save."""

    source: OnDisk | InMemory
    name: str

    def write(self, folder: Path) -> None:
        """Write the bytes; a file that was deleted in the meantime is left out."""
        target = folder / self.name
        if target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(self.source, InMemory):
            target.write_bytes(self.source.data)
        else:
            with suppress(FileNotFoundError):
                shutil.copy2(self.source.path, target)


def take_files(core: Core) -> SavedFiles:
    files = [
        SavedFile(
            path=path,
            content=_name(path, stored),
            content_type=stored.content_type,
            owner=stored.owner,
            lifecycle=stored.lifecycle,
            expires_at=stored.expires_at,
            unread_since=core.files.unread.get(path),
        )
        for path, stored in core.files.records.items()
        if stored.content.is_there
    ]
    return SavedFiles(files=files, gone=dict(core.files.gone))


def _name(path: str, stored: StoredFile) -> str:
    shared = isinstance(stored.content, InMemory)
    return f"{_SHARED}{stored.content.etag.strip(chr(34))}" if shared else path


def take_uploads(core: Core) -> SavedUploads:
    return SavedUploads(
        defaults=dict(core.uploads.defaults), uploads=list(map(_saved, core.uploads.uploads.values()))
    )


def _saved(upload: Upload) -> SavedUpload:
    same = {
        field.name: getattr(upload, field.name)
        for field in attrs.fields(SavedUpload)
        if field.name != "parts"
    }
    return SavedUpload(
        **same, parts=[(number, part.etag, part.size) for number, part in sorted(upload.parts.items())]
    )


def put_uploads(core: Core, saved: SavedUploads) -> None:
    core.uploads.defaults.update(saved.defaults)
    for one in saved.uploads:
        parts = {number: Part(etag=etag, size=size) for number, etag, size in one.parts}
        same = {field.name: getattr(one, field.name) for field in attrs.fields(SavedUpload)}
        core.uploads.uploads[one.upload_id] = Upload(**{**same, "parts": parts})


def copies(core: Core) -> list[Copy]:
    """Return the bytes of all files, and of the parts that have arrived of uploads."""
    files = {
        _name(path, stored): stored.content
        for path, stored in core.files.records.items()
        if stored.content.is_there
    }
    parts = {
        f"{upload.part_name}/{number}": OnDisk(core.files.location(f"{upload.part_name}/{number}"))
        for upload in core.uploads.uploads.values()
        if not upload.completed
        for number in upload.parts
    }
    return [Copy(source, name) for name, source in {**files, **parts}.items()]


async def bring_files(core: Core, folder: Path, saved: SavedFiles) -> None:
    """Copy the files of a save to those of the emulator, and serve them.

    Raises:
        OSError: If a file is missing, or can't be copied.
        ValueError: If a name leads out of the folder.
    """
    names = [one.content for one in saved.files if not one.content.startswith(_SHARED)]
    names += [copy.name for copy in copies(core)]  # the parts of uploads, which are known already
    moves = [(folder / _inside(name), core.files.location(_inside(name))) for name in names]
    memory: dict[str, InMemory] = {}

    def work() -> None:
        for source, target in moves:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
        for name in {one.content for one in saved.files if one.content.startswith(_SHARED)}:
            etag = f'"{name.removeprefix(_SHARED)}"'
            memory[name] = InMemory((folder / _inside(name)).read_bytes(), etag)

    await core.files.work(work)
    for one in saved.files:
        content = memory.get(one.content) or OnDisk(core.files.location(one.content))
        core.files.restore(one.path, _stored(one, content), one.unread_since)
    core.files.gone.update(saved.gone)


def _stored(saved: SavedFile, content: OnDisk | InMemory) -> StoredFile:
    return StoredFile(
        content=content,
        content_type=saved.content_type,
        owner=saved.owner,
        lifecycle=saved.lifecycle,
        expires_at=saved.expires_at,
    )


def _inside(name: str) -> str:
    """Return the name of a file below the folder. Raise ValueError if it leads out of it."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise ValueError(f"{name!r} is not the name of a file in the folder")
    return name
