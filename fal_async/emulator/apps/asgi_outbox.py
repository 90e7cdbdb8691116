"""The messages of an ASGI application to the emulator, one by one, and the outcome of its call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from typing import Any

import attrs

logger: logging.Logger = logging.getLogger("fal_async.emulator")


@attrs.frozen
class Ended:
    """The application's call has returned; `error` is the exception that it raised, or None."""

    error: Exception | None = None


class Outbox:
    """Passes one message at a time: `send` waits until the emulator has read it, so nothing piles up."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[MutableMapping[str, Any] | Ended] = asyncio.Queue()
        self._closed = False

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Pass a message to the emulator; after `close`, discard it. The application calls this."""
        if not self._closed:
            self._messages.put_nowait(message)
            await self._messages.join()

    async def next(self) -> MutableMapping[str, Any] | Ended:
        message = await self._messages.get()
        self._messages.task_done()
        return message

    def ended(self, call: asyncio.Task[None]) -> None:
        """Store the outcome of the application's call, whose task calls this when it is done."""
        error = _raised(call)
        if not self._closed:
            self._messages.put_nowait(Ended(error))
        elif error is not None and not call.cancelled():
            logger.error("a mounted application failed after its caller had left", exc_info=error)

    def close(self) -> None:
        """Accept no more messages; a pending `send` returns."""
        self._closed = True
        while not self._messages.empty():
            self._messages.get_nowait()
            self._messages.task_done()


def _raised(call: asyncio.Task[None]) -> Exception | None:
    if call.cancelled():
        return RuntimeError("the application's call was cancelled from within")
    error = call.exception()
    return error if error is None or isinstance(error, Exception) else RuntimeError(repr(error))
