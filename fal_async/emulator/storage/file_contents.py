"""The bytes of a file: on disk, or in memory if several files have the same bytes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import attrs

_MAX_SIZE, _MAX_COUNT = 256 * 1024, 32
"""Limits of the contents that are kept in memory: bytes of each, and their number."""


@attrs.frozen
class OnDisk:
    path: Path

    @property
    def is_there(self) -> bool:
        return self.path.is_file()

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def etag(self) -> str:
        """The ETag of `web.FileResponse`, so that an interrupted download can be resumed."""
        stat = self.path.stat()
        return f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'

    def open(self) -> BinaryIO:
        return self.path.open("rb")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


@attrs.frozen
class Lent(OnDisk):
    """A file that is only served, such as that of a recording."""

    def remove(self) -> None:
        """Do nothing: the file belongs to the user."""


@attrs.frozen
class InMemory:
    data: bytes = attrs.field(repr=False)
    etag: str
    is_there: bool = attrs.field(default=True, init=False)

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self) -> BinaryIO:
        return BytesIO(self.data)

    def remove(self) -> None:
        """Do nothing: other files have the same bytes."""


class SeenContents:
    """Small contents that were stored before, so that ten thousand equal pictures of a batch are stored once."""

    def __init__(self) -> None:
        self._by_digest: OrderedDict[str, InMemory] = OrderedDict()

    def seen(self, data: bytes) -> InMemory | None:
        """Return contents that were seen before. Return None for large ones and for new ones, which it stores."""
        if len(data) > _MAX_SIZE:
            return None
        digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        if known := self._by_digest.get(digest):
            return known
        self._by_digest[digest] = InMemory(bytes(data), f'"{digest}"')
        if len(self._by_digest) > _MAX_COUNT:
            self._by_digest.popitem(last=False)
        return None
