"""An open WebSocket, with its messages as values."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import aiohttp
import attrs

from fal_async.errors import TransportError


@attrs.frozen(kw_only=True)
class Frame:
    """One WebSocket message: "text" (`data` is str), "binary" (bytes) or "close" (`code`, `reason`)."""

    kind: str
    data: Any = attrs.field(default=None, repr=False)
    code: int | None = None
    reason: str = ""


class WebSocket:
    """An open WebSocket. Only one task may receive, and only one may send at a time."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send_bytes(self, data: bytes) -> None:
        await self._sending(self._socket.send_bytes(data))

    async def send_text(self, text: str) -> None:
        await self._sending(self._socket.send_str(text))

    async def _sending(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise TransportError("the WebSocket is closed", retryable=True) from error

    async def receive(self) -> Frame:
        """The next message; a "close" frame at the end, with code 1006 where the connection just broke."""
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            return Frame(kind="binary", data=message.data)
        if message.type is aiohttp.WSMsgType.TEXT:
            return Frame(kind="text", data=message.data)
        code = self._socket.close_code
        reason = message.extra if isinstance(message.extra, str) else ""
        if message.type is aiohttp.WSMsgType.ERROR:
            reason = reason or type(message.data).__name__
        return Frame(kind="close", code=1006 if code is None else int(code), reason=reason)

    async def close(self, code: int = 1000) -> None:
        await self._socket.close(code=code)
