"""Where the bytes of a file are: on disk, or in memory where many files have the same ones."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import attrs

_SMALL, _SMALL_ONES = 256 * 1024, 32
"""Bytes of contents that are known again, and how many of these there are at most."""


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
        """The one that `web.FileResponse` gives, so that a download may go on where it broke."""
        stat = self.path.stat()
        return f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'

    def open(self) -> BinaryIO:
        return self.path.open("rb")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


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
        """It is other files', too."""


class SeenContents:
    """Small contents that were put before: a batch that makes the same picture ten thousand times costs one."""

    def __init__(self) -> None:
        self._by_digest: OrderedDict[str, InMemory] = OrderedDict()

    def seen(self, data: bytes) -> InMemory | None:
        """None for what is large, or new; the next time it is known."""
        if len(data) > _SMALL:
            return None
        digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        if known := self._by_digest.get(digest):
            return known
        self._by_digest[digest] = InMemory(bytes(data), f'"{digest}"')
        if len(self._by_digest) > _SMALL_ONES:
            self._by_digest.popitem(last=False)
        return None
