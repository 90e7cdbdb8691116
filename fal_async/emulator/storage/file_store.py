"""Files on disk: uploaded ones and those that endpoints produce, by the names that v3b.fal.media serves."""

from __future__ import annotations

import asyncio
import heapq
import mimetypes
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from fal_async.emulator.storage.lifecycle import Lifecycle

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_SERVED = "files/"
_LONGEST = 200
"""Characters of a name: file systems take 255, and a temporary name is longer."""
UNFINISHED = "unfinished"
"""The sub-folder of parts that wait for the rest of their file; never served."""


@attrs.frozen(kw_only=True)
class StoredFile:
    location: Path
    content_type: str
    owner: str = ""
    """The nickname of the account that it belongs to."""
    lifecycle: Lifecycle = attrs.field(factory=Lifecycle)
    expires_at: float | None = None
    """Seconds since the epoch."""


class FileStore:
    """Keeps files in `folder`, or in a temporary one that is removed on `close`.

    A given folder keeps its files for the next emulator, but not their content types, lifecycles and ACLs.
    """

    def __init__(self, folder: Path | None) -> None:
        self._given = folder
        self._folder: Path | None = folder
        self._records: dict[str, StoredFile] = {}
        self._expiring: list[tuple[float, str]] = []
        self._working: set[asyncio.Future[None]] = set()

    @property
    def folder(self) -> Path | None:
        return self._folder

    async def put(
        self,
        data: bytes,
        content_type: str,
        file_name: str,
        *,
        owner: str,
        lifecycle: Lifecycle | None = None,
    ) -> str:
        """The path under the file host, such as `files/b/0a8c11ef/cat.png`."""
        path = self.new_path(file_name)
        target = self.location(path)
        await self.work(lambda: _write(target, data))
        self.admit(path, content_type, lifecycle or Lifecycle(), owner)
        return path

    def new_path(self, file_name: str) -> str:
        """The form of newer URLs: /files/b/{8 hex}/{name} (protocol 1.1)."""
        name = _UNSAFE.sub("_", file_name).strip("._")
        stem, dot, suffix = name.rpartition(".")
        if len(name) > _LONGEST:  # the ending is what tells its type
            name = (
                f"{stem[: _LONGEST - len(suffix) - 1]}.{suffix}"
                if dot and len(suffix) < 16
                else name[:_LONGEST]
            )
        return f"files/b/{secrets.token_hex(4)}/{name or 'file'}"

    def location(self, path: str) -> Path:
        """Where this path lies on disk, whether anything is there or not."""
        return self._root() / path

    def admit(self, path: str, content_type: str, lifecycle: Lifecycle, owner: str) -> None:
        """From now on the file is served."""
        self._sweep()
        expires_at = None if lifecycle.expires_in is None else time.time() + lifecycle.expires_in
        if expires_at is not None:
            heapq.heappush(self._expiring, (expires_at, path))
        self._records[path] = StoredFile(
            location=self.location(path),
            content_type=content_type,
            owner=owner,
            lifecycle=lifecycle,
            expires_at=expires_at,
        )

    def _sweep(self) -> None:
        """What nobody asks for any more goes from the disk as well."""
        while self._expiring and self._expiring[0][0] <= time.time():
            self.find(heapq.heappop(self._expiring)[1])

    def change(self, path: str, lifecycle: Lifecycle) -> None:
        """Another ACL for a file that is there; it expires when it would have."""
        found = self.find(path)
        if found is not None:
            self._records[path] = attrs.evolve(found, lifecycle=lifecycle)

    def find(self, path: str) -> StoredFile | None:
        """None for what is missing, expired, half-uploaded, or outside the folder."""
        record = self._records.get(path)
        if record is not None and record.expires_at is not None and record.expires_at <= time.time():
            record.location.unlink(missing_ok=True)
            del self._records[path]
            return None
        try:
            found = record or self._left_by_another(path)
            return found if found is not None and found.location.is_file() else None
        except (OSError, ValueError):  # too long, or with a null byte: no file's name
            return None

    def _left_by_another(self, path: str) -> StoredFile | None:
        if self._given is None or not path.startswith(_SERVED):
            return None
        target = (self._given / path).resolve()
        if not target.is_relative_to(self._given.resolve()):
            return None
        guessed = mimetypes.guess_type(target.name)[0] or "application/octet-stream"
        return StoredFile(location=target, content_type=guessed)

    async def work(self, job: Callable[[], None]) -> None:
        """Disk work in a thread. A thread can't be cancelled: whoever is, waits for it; and so does `close`."""
        working = asyncio.ensure_future(asyncio.to_thread(job))
        self._working.add(working)
        working.add_done_callback(self._working.discard)
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.wait([working])
            raise

    async def close(self) -> None:
        if self._working:
            await asyncio.wait(self._working)
        if self._folder is not None:
            unfinished, folder = self._folder / UNFINISHED, self._folder
            await asyncio.to_thread(shutil.rmtree, folder if self._given is None else unfinished, True)
        self._folder = self._given
        self._records.clear()

    def _root(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="fal-emulator-"))
        return self._folder


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
