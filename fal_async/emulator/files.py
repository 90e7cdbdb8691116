"""Files on disk: what endpoints produce, under the names that v3.fal.media serves them by."""

from __future__ import annotations

import asyncio
import mimetypes
import re
import secrets
import shutil
import tempfile
from pathlib import Path

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class FileStore:
    """Keeps files in `folder`, or in a temporary one that is removed on `close`."""

    def __init__(self, folder: Path | None) -> None:
        self._given = folder
        self._folder: Path | None = folder
        self._content_types: dict[str, str] = {}
        self._writing: set[asyncio.Future[None]] = set()

    async def put(self, data: bytes, content_type: str, file_name: str) -> str:
        """The path under the file host, such as `files/b/0a8c11ef/cat.png`."""
        name = _UNSAFE.sub("_", file_name).strip("._") or "file"
        # The form of newer URLs: /files/b/{8 hex}/{name} (protocol 1.1).
        path = f"files/b/{secrets.token_hex(4)}/{name}"
        self._content_types[path] = content_type
        writing = asyncio.ensure_future(asyncio.to_thread(_write, self._root() / path, data))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        # Shielded: a thread can't be cancelled, and `close` must not remove the folder under its hands.
        await asyncio.shield(writing)
        return path

    def find(self, path: str) -> tuple[Path, str] | None:
        """Where it lies on disk, and its content type; None for what is missing or outside the folder."""
        if self._folder is None:
            return None
        target = (self._folder / path).resolve()
        if not target.is_relative_to(self._folder.resolve()) or not target.is_file():
            return None
        guessed = mimetypes.guess_type(target.name)[0] or "application/octet-stream"
        return target, self._content_types.get(path, guessed)

    async def close(self) -> None:
        if self._writing:
            await asyncio.wait(self._writing)
        if self._given is None and self._folder is not None:
            folder, self._folder = self._folder, None
            await asyncio.to_thread(shutil.rmtree, folder)
        self._content_types.clear()

    def _root(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="fal-emulator-"))
        return self._folder


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
