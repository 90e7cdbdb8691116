"""Request bodies that are written to disk while they arrive, so that memory never contains a whole upload."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from io import FileIO
from pathlib import Path

from aiohttp import web

from fal_async.emulator.storage.file_store import FileStore
from fal_async.emulator.wire.recorder import Entry

STREAMED = frozenset({"upload", "part"})
"""The operations whose body is not read in advance."""
_PIECE = 1024 * 1024
"""Bytes that are collected before each write, because a thread for each packet would be slow."""


class Body:
    """The body of one request, not read yet. The size in its entry, if any, grows with the bytes that arrive."""

    def __init__(self, request: web.BaseRequest, entry: Entry | None) -> None:
        self._request, self._entry = request, entry
        self._size = 0

    @property
    def declared(self) -> int | None:
        return self._request.content_length

    async def to_disk(self, files: FileStore, target: Path) -> tuple[int, str]:
        """Write the body to `target`, which appears only when complete. Return its bytes and its MD5 in hex."""
        temporary = target.with_name(f"{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            written = await self._write(temporary)
            await files.work(lambda: _move(temporary, target))
        finally:
            temporary.unlink(missing_ok=True)
        return written

    async def _write(self, temporary: Path) -> tuple[int, str]:
        digest, size, pieces = hashlib.md5(usedforsecurity=False), 0, bytearray()
        temporary.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb", buffering=0) as file:
            while chunk := await self._next():
                digest.update(chunk)
                size += len(chunk)
                pieces += chunk
                if len(pieces) >= _PIECE:
                    await _write_in_thread(file, bytes(pieces))
                    pieces.clear()
            file.write(pieces)
        return size, digest.hexdigest()

    async def discard(self, share: float = 1.0) -> None:
        """Read a share of the announced body, 0 to 1, and discard it."""
        wanted = (self.declared or 0) * share
        while self._size < wanted and await self._next():
            pass

    async def _next(self) -> bytes:
        chunk = await self._request.content.readany()
        self._size += len(chunk)
        if self._entry is not None:
            self._entry.size = self._size
        return chunk


async def _write_in_thread(file: FileIO, piece: bytes) -> None:
    """Write a piece. If this is cancelled, wait for the thread, so that the file is not closed while it writes."""
    writing = asyncio.ensure_future(asyncio.to_thread(file.write, piece))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing])
        raise


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)


def join(parts: list[Path], target: Path) -> None:
    """Join parts to one file, in the order of the list. Memory contains one piece at a time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    whole = parts[0]
    with whole.open("ab", buffering=0) as file:
        for part in parts[1:]:
            with part.open("rb", buffering=0) as source:
                while piece := source.read(_PIECE):
                    file.write(piece)
            part.unlink()
    whole.replace(target)
