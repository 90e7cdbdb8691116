"""Files in the input of a call, which upstream can't read from the emulator: they are uploaded there."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from fal_async.emulator.recordings.upstream import Upstream
from fal_async.emulator.storage.file_store import FileStore

_FILE_HOSTS = ("v3.fal.media", "v3b.fal.media", "fal.media")


class InputUploads:
    """Uploads the files of the emulator's storage to upstream, each content once.

    Args:
        upstream: the target.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._uploaded: dict[tuple[str, str], str] = {}
        self._one_at_a_time = asyncio.Lock()

    async def sent(self, files: FileStore, body: bytes, origin: str) -> bytes:
        """Return the body for upstream: with its own URLs of files in place of the emulator's.

        Args:
            files: the emulator's storage.
            body: the body of the call. One that is not JSON is returned as it is.
            origin: start of the emulator's URLs.
        """
        try:
            input = json.loads(body)
        except ValueError:
            return body
        urls = {
            url: uploaded
            for url in set(_texts(input))
            if (uploaded := await self._upload(files, url, origin))
        }
        return json.dumps(_replaced(input, urls)).encode() if urls else body

    async def _upload(self, files: FileStore, url: str, origin: str) -> str | None:
        """Return the URL of a file at upstream; None if the emulator has no such file."""
        host, _, path = url.removeprefix(f"{origin}/").partition("?")[0].partition("/")
        if not url.startswith(f"{origin}/") or host not in _FILE_HOSTS:
            return None
        found = files.find(path := unquote(path))
        if found is None:
            return None
        data = await files.read(path)
        content = (hashlib.sha256(data).hexdigest(), found.content_type)
        async with self._one_at_a_time:
            if content not in self._uploaded:
                name = path.rpartition("/")[2]
                self._uploaded[content] = await self._upstream.upload(data, found.content_type, name)
        return self._uploaded[content]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _replaced(value: Any, urls: dict[str, str]) -> Any:
    if isinstance(value, str):
        return urls.get(value, value)
    if isinstance(value, dict):
        return {name: _replaced(item, urls) for name, item in value.items()}
    return [_replaced(item, urls) for item in value] if isinstance(value, list) else value
