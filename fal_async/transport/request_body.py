"""Request bodies that tell when they leave: what makes a failed submit safe to repeat, or not."""

from __future__ import annotations

import io
from typing import Any

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesIOPayload, BytesPayload

from fal_async.protocol.http import HttpRequest
from fal_async.transport.progress import Progress

_LARGE = 512 * 1024


class _Marked(BytesPayload):
    """Notes that its first byte is about to leave. Before that, the server has no request that it could take:
    aiohttp holds the headers back until the body comes, and headers without their body are no request."""

    def __init__(self, data: bytes, progress: Progress) -> None:
        super().__init__(data)
        self._progress = progress

    async def write(self, writer: AbstractStreamWriter) -> None:
        self._progress.leaves()
        await super().write(writer)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self._progress.leaves()
        await super().write_with_length(writer, content_length)


class _MarkedInPieces(BytesIOPayload):
    """The same for a large body, sent in pieces: the loop is not held up by one big write."""

    def __init__(self, data: bytes, progress: Progress) -> None:
        super().__init__(io.BytesIO(data))
        self._progress = progress

    async def write(self, writer: AbstractStreamWriter) -> None:
        self._progress.leaves()
        await super().write(writer)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self._progress.leaves()
        await super().write_with_length(writer, content_length)


def body_of(request: HttpRequest, progress: Progress) -> Any:
    """The body for one attempt, made anew for each."""
    body = request.body
    if body is None:
        return None
    if callable(body):
        return body()
    return _Marked(body, progress) if len(body) <= _LARGE else _MarkedInPieces(body, progress)
