"""Uploaded and produced files, by the paths under which v3b.fal.media serves them."""

from __future__ import annotations

import asyncio
import heapq
import mimetypes
import os
import random
import re
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

import attrs

from fal_async.emulator.storage.file_contents import InMemory, Lent, OnDisk, SeenContents
from fal_async.emulator.storage.lifecycle import Lifecycle
from fal_async.emulator.timing.clock import Clock

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_SERVED = "files/"
_LONGEST = 200
"""Characters of a name: file systems allow 255, and temporary names are longer."""
_REMEMBERED = 100_000
"""For how many expired files the status is stored; after that, the oldest get 404."""
GONE = (403, 404, 410)
"""Statuses for an expired file; fal does not document which it uses (protocol 13)."""
UNFINISHED = "unfinished"
"""Directory for the parts of incomplete uploads, which are never served."""


@attrs.frozen(kw_only=True)
class StoredFile:
    """A file that is served."""

    content: OnDisk | InMemory
    content_type: str
    owner: str = ""
    """Nickname of the account that owns it."""
    lifecycle: Lifecycle = attrs.field(factory=Lifecycle)
    expires_at: float | None = None
    """Seconds since the epoch; None: never."""


class FileStore:
    """Stores files in `folder`, or in a temporary one that is deleted on `close`.

    The next emulator with the same `folder` serves its files again, but without content types, lifecycles and ACLs.
    `lifetime` is the number of seconds for which a produced file is served unless its request asks for another
    lifetime (None: no limit); `gone_status` is the status for an expired file.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        clock: Clock,
        *,
        lifetime: float | None = None,
        gone_status: int = 404,
    ) -> None:
        self._clock = clock
        self._given = self._folder = None if folder is None else Path(folder)
        self._lifetime = lifetime
        self._gone_status = checked_gone(gone_status)
        self.gone: OrderedDict[str, int] = OrderedDict()
        """The status of each path whose file has expired."""
        self._contents = SeenContents()
        self._random = random.Random()  # the system's random numbers would take longer than the rest of `put`
        self._records: dict[str, StoredFile] = {}
        self.records: Mapping[str, StoredFile] = MappingProxyType(self._records)
        """The files by path, in order of arrival; an expired one may still be there."""
        self._expiring: list[tuple[float, str]] = []
        self.unread: dict[str, float] = {}
        """When the produced files were made that will expire, and that nobody has asked for yet."""
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
        """Store a file. Return its path under the file host, such as `files/b/0a8c11ef/cat.png`."""
        path = self.new_path(file_name)
        # A folder that the user gave must contain every file, so nothing is stored in memory only.
        content = self._contents.seen(data) if self._given is None else None
        if content is None:
            target = self.location(path)
            await self.work(lambda: _write(target, data))
        expires_in = self._lifetime if lifecycle is None else lifecycle.expires_in
        stored = StoredFile(
            content=content or OnDisk(self.location(path)),
            content_type=content_type,
            owner=owner,
            lifecycle=lifecycle or Lifecycle(),
        )
        if expires_in is not None:
            self.unread[path] = self._clock.now()
        self._admit(path, stored, expires_in)
        return path

    async def read(self, path: str) -> bytes:
        """Return the bytes of a file. Raise FileNotFoundError if it is missing or has expired."""
        found = self.find(path)
        if found is None:
            raise FileNotFoundError(path)
        with await asyncio.to_thread(found.content.open) as file:
            return await asyncio.to_thread(file.read)

    def new_path(self, file_name: str) -> str:
        """Return a new path in the form of newer URLs, /files/b/{8 hex}/{name} (protocol 1.1)."""
        name = _UNSAFE.sub("_", file_name).strip("._")
        stem, dot, suffix = name.rpartition(".")
        if len(name) > _LONGEST:  # the suffix is kept, since readers find the content type with it
            name = (
                f"{stem[: _LONGEST - len(suffix) - 1]}.{suffix}"
                if dot and len(suffix) < 16
                else name[:_LONGEST]
            )
        while (path := f"files/b/{self._random.getrandbits(32):08x}/{name or 'file'}") in self._records:
            pass
        return path

    def location(self, path: str) -> Path:
        """Return the place of a path on disk; the file need not exist."""
        return self._root() / path

    def admit(self, path: str, content_type: str, lifecycle: Lifecycle, owner: str) -> None:
        """Serve the file at `location` from now on."""
        content = OnDisk(self.location(path))
        stored = StoredFile(content=content, content_type=content_type, owner=owner, lifecycle=lifecycle)
        self._admit(path, stored, lifecycle.expires_in)

    def lend(self, path: str, target: Path, content_type: str, owner: str) -> None:
        """Serve a file of the user at a path from now on; it is never deleted."""
        self._admit(path, StoredFile(content=Lent(target), content_type=content_type, owner=owner), None)

    def _admit(self, path: str, stored: StoredFile, expires_in: float | None) -> None:
        self._sweep()
        self.gone.pop(path, None)
        if expires_in is not None:
            expires_at = self._clock.now() + expires_in
            heapq.heappush(self._expiring, (expires_at, path))
            stored = attrs.evolve(stored, expires_at=expires_at)
        self._records[path] = stored

    def restore(self, path: str, stored: StoredFile, unread_since: float | None) -> None:
        """Serve a file of a saved state; if nobody has read it yet, `unread_since` is when it was made."""
        self._records[path] = stored
        if stored.expires_at is not None:
            heapq.heappush(self._expiring, (stored.expires_at, path))
        if unread_since is not None:
            self.unread[path] = unread_since

    def _sweep(self) -> None:
        """Delete all expired files, even if no one reads them again."""
        while self._expiring and self._clock.is_over(self._expiring[0][0], 0):
            self._drop_if_expired(heapq.heappop(self._expiring)[1])

    def expire(self, urls: Sequence[str], status: int | None) -> None:
        """Expire the files of URLs, or all files. Raise KeyError for an unknown URL.

        `status` is the status for readers; None: the store's `gone_status`.
        """
        status = self._gone_status if status is None else checked_gone(status)
        paths = [unquote(urlsplit(url).path).partition(".fal.media/")[2] for url in urls] or list(
            self._records
        )
        for url, path in zip(urls, paths, strict=False):
            if self.find(path) is None:
                raise KeyError(f"file {url}")
        for path in paths:
            self._remove(path, status)

    def status_of_missing(self, path: str) -> int:
        """Return the status for a path without a file, 404 unless a file has expired."""
        return self.gone.get(path, 404)

    def _remove(self, path: str, status: int) -> None:
        self.unread.pop(path, None)
        record = self._records.pop(path, None)
        if record is not None:
            record.content.remove()
        self.gone[path] = status
        if len(self.gone) > _REMEMBERED:
            self.gone.popitem(last=False)

    def change(self, path: str, lifecycle: Lifecycle) -> None:
        """Replace the ACL of a file. The time at which the file expires is not changed."""
        found = self.find(path)
        if found is not None:
            self._records[path] = attrs.evolve(found, lifecycle=lifecycle)

    def find(self, path: str) -> StoredFile | None:
        """Return a file; None if it is missing, expired, incomplete, or outside the folder."""
        self._drop_if_expired(path)
        self.unread.pop(path, None)
        if path in self.gone:
            return None
        try:
            found = self._records.get(path) or self._from_earlier_run(path)
            return found if found is not None and found.content.is_there else None
        except (OSError, ValueError):  # the path is too long, or has a null byte
            return None

    def _drop_if_expired(self, path: str) -> None:
        record = self._records.get(path)
        if record is None or record.expires_at is None:
            return
        began = self.unread.get(path)
        if (
            self._clock.is_over(record.expires_at, 0)
            if began is None
            else self._clock.is_over_unnoticed(began, record.expires_at - began)
        ):
            self._remove(path, self._gone_status)

    def _from_earlier_run(self, path: str) -> StoredFile | None:
        if self._given is None or not path.startswith(_SERVED):
            return None
        target = (self._given / path).resolve()
        if not target.is_relative_to(self._given.resolve()):
            return None
        guessed = mimetypes.guess_type(target.name)[0] or "application/octet-stream"
        return StoredFile(content=OnDisk(target), content_type=guessed)

    async def work(self, job: Callable[[], None]) -> None:
        """Run disk work in a thread. A cancelled caller and `close` wait for it, as threads can't be cancelled."""
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
        self.gone.clear()

    def _root(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="fal-emulator-"))
        return self._folder


def checked_gone(status: int) -> int:
    """Return the status. Raise ValueError if it is not a possible status of an expired file."""
    if status not in GONE:
        raise ValueError(
            f"status {status!r} for an expired file: expected one of {', '.join(map(str, GONE))}"
        )
    return status


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
