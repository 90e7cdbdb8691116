"""Who reads a connection: whoever waits for a message, and the connection's own task while nobody does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from fal_async.callbacks import call_back
from fal_async.errors import RealtimeError, SessionStateError
from fal_async.protocol.realtime import (
    NORMAL,
    Control,
    Disconnected,
    Ended,
    Failed,
    Timings,
    Unauthorized,
    close_words,
    is_lost,
    is_normal,
)
from fal_async.protocol.reconnecting import InFlight
from fal_async.realtime.codec import Codec
from fal_async.realtime.message_queue import MessageQueue
from fal_async.transport import WebSocket

OnTimings = Callable[[float], Awaitable[None] | None]

_FREE, _READER, _TAKER = range(3)
"""Whose turn it is to read: nobody's, that of the task in `run`, or that of whoever waits in `take`."""
_IDLE = 0.5
"""Seconds without anybody asking for a message after which the task reads: pings want an answer, and an end
wants to be noticed."""


class Lost(Exception):
    """There is no connection, and another one may help. `ended`: the one before it ended in order."""

    def __init__(self, error: RealtimeError, *, unauthorized: bool = False, ended: bool = False) -> None:
        super().__init__()
        self.error: RealtimeError = error
        self.unauthorized: bool = unauthorized
        self.ended: bool = ended


class Reader:
    """One connection's frames as messages.

    Handing each message from a reading task to a waiting one costs a turn of the event loop, a sixth of a
    round trip's CPU. So a taker reads for itself (`take`), and leaves to the task (`run`) what ends the
    connection, and the time in which nobody takes: the task puts what comes then into the queue.

    `on_timings`: called with the seconds that the model says it took; what it raises ends the reading.
    """

    def __init__(
        self,
        socket: WebSocket,
        *,
        codec: Codec,
        messages: MessageQueue,
        in_flight: InFlight,
        on_timings: OnTimings | None,
        endpoint_id: str,
    ) -> None:
        self._socket, self._read, self._messages = socket, codec.read, messages
        self._in_flight, self._on_timings, self._endpoint_id = in_flight, on_timings, endpoint_id
        self._turn = _READER
        self._taken = self._asked = False  # since the task last looked; whether it wants to be told
        self._end: Exception | None = None
        self._tell = asyncio.Event()

    async def run(self) -> None:
        """Up to an end in order. Lost where another connection may help, else RealtimeError; what `on_timings`
        raises."""
        try:
            await self._run()
        except Disconnected as closed:
            if not is_normal(closed.code):
                words = close_words(closed.code, closed.reason)
                error = self._problem(words, code=closed.code, reason=closed.reason)
                raise (Lost(error) if is_lost(closed.code) else error) from None

    async def _run(self) -> None:
        while True:
            self._turn = _READER
            while not self._messages.put(await self._message()):
                if self._messages.full:
                    await self._messages.room()
            self._turn = _FREE
            await self._nobody_takes()

    async def take(self) -> Any:
        """The next message, or what the queue gives at the end."""
        if self._turn == _TAKER:
            raise SessionStateError("another task is receiving from this connection: only one can")
        if self._turn == _READER or self._end is not None or self._messages.waiting:
            return await self._messages.get()
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
            self._end = error  # the task deals with it, and tells the queue
        finally:
            self._turn, self._taken = _FREE, True
            if self._asked or self._end is not None:
                self._tell.set()
        return await self._messages.get()

    async def _message(self) -> Any:
        while True:
            control, value = self._read(await self._socket.receive())
            if control is None:
                self._in_flight.answered()
                return value
            await self._obey(control)

    async def _obey(self, control: Control) -> None:
        """The table of protocol 6.3."""
        if isinstance(control, Timings):
            await call_back(self._on_timings, control.seconds)
        elif isinstance(control, Ended):
            raise Disconnected(NORMAL, control.reason)
        elif isinstance(control, Failed):
            words = control.error + (f": {control.reason}" if control.reason else "")
            raise self._problem(words, error=control.error, reason=control.reason)
        elif isinstance(control, Unauthorized):
            error = self._problem("the realtime token was rejected", error="Unauthorized")
            raise Lost(error, unauthorized=True)

    def _problem(self, message: str, **details: Any) -> RealtimeError:
        return RealtimeError(message, endpoint_id=self._endpoint_id, **details)

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
