"""Request bodies that tell when they leave: what makes a failed submit safe to repeat, or not."""

from __future__ import annotations

import io
from typing import Any

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesIOPayload, BytesPayload, Payload

from fal_async.protocol.http import HttpRequest
from fal_async.transport.progress import Progress

_LARGE = 512 * 1024


class _Telling(Payload):
    """Notes that its first byte is about to leave. Before that, the server has no request that it could take:
    aiohttp holds the headers back until the body comes, and headers without their body are no request."""

    progress: Progress

    async def write(self, writer: AbstractStreamWriter) -> None:
        self.progress.leaves()
        await super().write(writer)  # type: ignore[safe-super]  # the kinds below have it

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self.progress.leaves()
        await super().write_with_length(writer, content_length)


class _Whole(_Telling, BytesPayload):
    """A body that is written at once."""


class _InPieces(_Telling, BytesIOPayload):
    """A large body, written in pieces: the loop is not held up by one big write."""


def body_of(request: HttpRequest, progress: Progress) -> Any:
    """The body for one attempt, made anew for each."""
    body = request.body
    if body is None:
        return None
    if callable(body):
        return body()
    payload = _Whole(body) if len(body) <= _LARGE else _InPieces(io.BytesIO(body))
    payload.progress = progress
    return payload
