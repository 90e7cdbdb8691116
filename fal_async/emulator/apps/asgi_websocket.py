"""WebSockets of an ASGI application, called in this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from typing import Any

from multidict import CIMultiDict

from fal_async.emulator.apps.asgi_outbox import Ended, Outbox
from fal_async.emulator.apps.interface import LOST, Closing, Rejected, end_to_end, incomplete
from fal_async.emulator.wire.answers import Answer, request_error

logger: logging.Logger = logging.getLogger("fal_async.emulator")


class AsgiChannel:
    """One WebSocket; `app_receive` and `app_send` are the application's `receive` and `send`."""

    def __init__(self) -> None:
        # Unbounded, because the caller's frames must always be read; otherwise its close frame is not noticed.
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._inbox.put_nowait({"type": "websocket.connect"})
        self._closed = False
        self.outbox: Outbox = Outbox()
        self.protocol: str | None = None

    async def app_receive(self) -> dict[str, Any]:
        return await self._inbox.get()

    async def app_send(self, message: MutableMapping[str, Any]) -> None:
        await self.outbox.send(message)

    async def begin(self) -> None:
        """Wait until the application accepts. Raise `Rejected` if it refuses."""
        message = await self._next()
        if message["type"] == "websocket.accept":
            self.protocol = message.get("subprotocol")
        elif message["type"] == "websocket.http.response.start":
            raise Rejected(await self._refusal(message))
        else:
            # "websocket.close" before "accept" is the handshake's 403.
            raise Rejected(request_error(403, "The application refused the WebSocket"))

    async def receive(self) -> str | bytes | Closing:
        message = await self.outbox.next()
        if isinstance(message, Ended):
            # An application that returns closes normally; one that raises has failed.
            if message.error is None:
                return Closing()
            logger.error("a mounted application's WebSocket failed", exc_info=message.error)
            return Closing(1011)
        if message["type"] == "websocket.close":
            closing = Closing(message.get("code") or 1000, message.get("reason") or "")
            await self.close(closing.code, closing.reason)
            return closing
        text: str | None = message.get("text")
        return bytes(message["bytes"]) if text is None else text

    async def send(self, frame: str | bytes) -> None:
        kind = "text" if isinstance(frame, str) else "bytes"
        self._inbox.put_nowait({"type": "websocket.receive", kind: frame})

    async def close(self, code: int, reason: str) -> None:
        """Notify the application that it, or the caller, has closed the WebSocket."""
        if not self._closed:
            self._closed = True
            self._inbox.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})

    async def leave(self) -> None:
        await self.close(LOST, "")
        self.outbox.close()

    async def _next(self) -> MutableMapping[str, Any]:
        message = await self.outbox.next()
        if isinstance(message, Ended):
            raise message.error or incomplete("The application ended before it accepted the WebSocket")
        return message

    async def _refusal(self, start: MutableMapping[str, Any]) -> Answer:
        body, more = b"", True
        while more:
            message = await self._next()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        pairs = [(name.decode("latin-1"), text.decode("latin-1")) for name, text in start.get("headers", ())]
        return Answer(start["status"], end_to_end(CIMultiDict(pairs)), body)
