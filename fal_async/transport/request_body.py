"""Request bodies that report when their first byte is sent, and when each further piece is.

The first report decides whether a failed submit may be sent again. The others distinguish a server that has stopped
reading from a slow line.
"""

from __future__ import annotations

import io
import socket
from collections.abc import MutableMapping
from typing import Any

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import AsyncIterablePayload, BytesIOPayload, BytesPayload, Payload

from fal_async.transport.attempt import Call

_PIECE = 64 * 1024
_AHEAD = 128 * 1024
"""The most bytes that the kernel buffers before it sends them. So nearly all bytes that were written were sent."""


class _Reporting(Payload):
    """Reports that its first byte is sent next.

    Before that, the server can't accept the request: aiohttp sends the headers together with the body's first
    bytes, and headers without their body are not a complete request.
    """

    call: Call

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self.call.progress.leaves()
        await super().write_with_length(writer, content_length)
        if self.call.clock is not None:
            self.call.clock.has_sent()


class _Whole(_Reporting, BytesPayload):
    """A body that is written in one piece."""


class _Gradual(_Reporting):
    """A body that is written piece by piece, because one large write would block the event loop."""

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await super().write_with_length(_Pieces(writer, self.call), content_length)


class _InPieces(_Gradual, BytesIOPayload):
    """A large body that is in memory."""


class _Iterated(_Gradual, AsyncIterablePayload):
    """A body that is read from its source while it is sent."""


class _Pieces(AbstractStreamWriter):
    """Writes small pieces, each when the one before has left the buffer, and resets the clock before each."""

    def __init__(self, writer: AbstractStreamWriter, call: Call) -> None:
        self._writer, self._call = writer, call
        _limit_buffers(getattr(writer, "transport", None))

    async def write(self, chunk: Any) -> None:
        rest = memoryview(chunk)
        for at in range(0, len(rest), _PIECE):
            self._sends()
            await self._writer.write(rest[at : at + _PIECE])
            await self._writer.drain()
        self._sends()  # the time to read the next chunk counts too

    def _sends(self) -> None:
        if self._call.clock is not None:
            self._call.clock.sends()

    async def write_eof(self, chunk: bytes = b"") -> None:
        await self._writer.write_eof(chunk)

    async def drain(self) -> None:
        await self._writer.drain()

    def enable_compression(self, *args: Any, **options: Any) -> None:
        self._writer.enable_compression(*args, **options)

    def enable_chunking(self) -> None:
        self._writer.enable_chunking()

    async def write_headers(self, status_line: str, headers: MutableMapping[str, str]) -> None:
        await self._writer.write_headers(status_line, headers)  # type: ignore[arg-type]


def _limit_buffers(transport: Any) -> None:
    """Limit the send buffers: the kernel may buffer megabytes, and asyncio buffers more for TLS than for TCP."""
    if transport is None:
        return
    transport.set_write_buffer_limits(_PIECE)
    option, sock = getattr(socket, "TCP_NOTSENT_LOWAT", None), transport.get_extra_info("socket")
    if option is not None and sock is not None:
        sock.setsockopt(socket.IPPROTO_TCP, option, _AHEAD)


def body_of(call: Call) -> Any:
    """Return a new body for each attempt."""
    body = call.request.body
    if body is None:
        return None
    payload: _Reporting
    if callable(body):
        payload = _Iterated(body())
    else:
        payload = _Whole(body) if len(body) <= _PIECE else _InPieces(io.BytesIO(body))
    payload.call = call
    return payload
