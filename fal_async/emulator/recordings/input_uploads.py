"""Files in the input of a call, which upstream can't read from the emulator: they are uploaded there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from fal_async.emulator.cassettes.canonical_input import InputFile
from fal_async.emulator.recordings.own_files import OwnFile
from fal_async.emulator.recordings.upstream import Upstream


class InputUploads:
    """Uploads files of the emulator's storage to upstream, each content once.

    Args:
        upstream: the target.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._uploaded: dict[InputFile, str] = {}
        self._one_at_a_time = asyncio.Lock()

    async def sent(self, body: bytes, input: Any, files: Mapping[str, OwnFile]) -> bytes:
        """Return the body for upstream: with its own URLs of files in place of the emulator's.

        Args:
            body: the body of the call.
            input: the same as JSON values.
            files: the emulator's files in it, by URL.
        """
        urls = {url: await self._upload(url, file) for url, file in files.items()}
        return json.dumps(_replaced(input, urls)).encode() if urls and body else body

    async def _upload(self, url: str, file: OwnFile) -> str:
        async with self._one_at_a_time:
            if file.digest not in self._uploaded:
                data = await asyncio.to_thread(_read, file)
                name = unquote(urlsplit(url).path.rpartition("/")[2])
                self._uploaded[file.digest] = await self._upstream.upload(
                    data, file.stored.content_type, name
                )
        return self._uploaded[file.digest]


def _read(file: OwnFile) -> bytes:
    with file.stored.content.open() as opened:
        return opened.read()


def _replaced(value: Any, urls: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return urls.get(value, value)
    if isinstance(value, dict):
        return {name: _replaced(item, urls) for name, item in value.items()}
    return [_replaced(item, urls) for item in value] if isinstance(value, list) else value
