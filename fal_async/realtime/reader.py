"""Who reads a connection: whoever waits for a message, and the line's own task while nobody does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from fal_async.errors import SessionStateError
from fal_async.protocol.realtime import Control
from fal_async.protocol.reconnecting import InFlight
from fal_async.realtime.codec import Codec
from fal_async.realtime.message_queue import Inbox

if TYPE_CHECKING:
    from fal_async.transport import WebSocket

_FREE, _READER, _TAKER = range(3)
_IDLE = 0.5
"""Seconds without anybody asking for a message after which the task reads: pings want an answer, and an end
wants to be noticed."""


class Reading:
    """One connection's frames as messages.

    Handing each message from a reading task to a waiting one costs a turn of the event loop, a sixth of a
    round trip's CPU. So a taker reads for itself (`take`), and leaves to the task (`run`) what ends the
    connection, and the time in which nobody takes: the task puts what comes then into the inbox.

    `obey` is called with control frames; what it raises ends the reading. `in_callback`: whether a user's
    callback is what runs, in the task that reads.
    """

    def __init__(
        self,
        socket: WebSocket,
        codec: Codec,
        inbox: Inbox,
        in_flight: InFlight,
        obey: Callable[[Control], Awaitable[None]],
        in_callback: Callable[[], bool],
    ) -> None:
        self._socket, self._read, self._inbox = socket, codec.read, inbox
        self._in_flight, self._obey, self._in_callback = in_flight, obey, in_callback
        self._turn = _READER
        self._taken = self._asked = False  # since the task last looked; whether it wants to be told
        self._end: Exception | None = None
        self._tell = asyncio.Event()

    async def run(self) -> None:
        """Raises Disconnected, what `obey` raises, or RealtimeError for what can't be decoded."""
        while True:
            self._turn = _READER
            while not self._inbox.put(await self._message()):
                if self._inbox.full:
                    await self._inbox.room()
            self._turn = _FREE
            await self._nobody_takes()

    async def take(self) -> Any:
        """The next message, or what the inbox gives at the end."""
        if self._turn == _TAKER:
            raise SessionStateError("another task is receiving from this connection: only one can")
        if self._turn == _READER or self._end is not None or self._inbox.waiting:
            if not self._inbox.waiting and self._in_callback():
                raise SessionStateError("a callback can't wait for a message: it would wait for itself")
            return await self._inbox.get()
        self._turn = _TAKER
        try:
            # As `_message` does; here without another coroutine in between.
            control, value = self._read(await self._socket.receive())
            if control is not None:
                await self._obey(control)
                return await self._message()
            self._in_flight.answered()
            return value
        except Exception as error:
            self._end = error  # the task deals with it, and tells the inbox
        finally:
            self._turn, self._taken = _FREE, True
            if self._asked or self._end is not None:
                self._tell.set()
        return await self._inbox.get()

    async def _message(self) -> Any:
        while True:
            control, value = self._read(await self._socket.receive())
            if control is None:
                self._in_flight.answered()
                return value
            await self._obey(control)

    async def _nobody_takes(self) -> None:
        """Until nobody has taken anything for a while. Raises the end that a taker came upon."""
        while True:
            self._taken = False
            await self._told(_IDLE)
            if self._turn == _FREE and not self._taken:
                return
            if not self._taken:  # somebody waits for a message: no need to look again before he is gone
                self._asked = True
                await self._told(None)
                self._asked = False

    async def _told(self, limit: float | None) -> None:
        if self._end is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await self._tell.wait()
        self._tell.clear()
        if self._end is not None:
            raise self._end
