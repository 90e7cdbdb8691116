"""Reading a connection: in the task that waits for a message, or in the connection's own task if none does."""

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
"""Which task may read: none yet, the one in `run`, or the one in `take`."""
_IDLE = 0.5
"""Seconds without a call of `take` after which the task in `run` reads, to answer pings and notice the end."""


class Lost(Exception):
    """Raised when the connection is lost and a new one may help. `ended`: the session before ended regularly."""

    def __init__(self, error: RealtimeError, *, unauthorized: bool = False, ended: bool = False) -> None:
        super().__init__()
        self.error: RealtimeError = error
        self.unauthorized: bool = unauthorized
        self.ended: bool = ended


class Reader:
    """Reads the frames of one connection as messages.

    To hand each message from a reading task to a waiting one costs a turn of the event loop, a sixth of a round
    trip's CPU. So the task that receives reads itself, in `take`. The connection's own task, in `run`, reads while
    no other task does, puts these messages into the queue, and handles the end of the connection.

    `on_timings`: called with the seconds that the model reports to have taken; an exception in it ends the reading.
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
        self._taken = self._asked = False  # `take` was called since the last check; `run` waits for its end
        self._end: Exception | None = None
        self._wake_up = asyncio.Event()

    async def run(self) -> None:
        """Read until the session ends regularly.

        Raises Lost if a new connection may help, else RealtimeError; also what `on_timings` raises.
        """
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
            await self._until_idle()

    async def take(self) -> Any:
        """Return the next message, or what the queue returns or raises at the end."""
        if self._turn == _TAKER:
            raise SessionStateError("another task is receiving from this connection: only one can")
        if self._turn == _READER or self._end is not None or self._messages.waiting:
            return await self._messages.get()
        self._turn = _TAKER
        try:
            # The same as `_message`, without the cost of another coroutine.
            control, value = self._read(await self._socket.receive())
            if control is not None:
                await self._obey(control)
                return await self._message()
            self._in_flight.answered()
            return value
        except Exception as error:
            self._end = error  # the task in `run` handles it, and closes the queue
        finally:
            self._turn, self._taken = _FREE, True
            if self._asked or self._end is not None:
                self._wake_up.set()
        return await self._messages.get()

    async def _message(self) -> Any:
        while True:
            control, value = self._read(await self._socket.receive())
            if control is None:
                self._in_flight.answered()
                return value
            await self._obey(control)

    async def _obey(self, control: Control) -> None:
        """Act on a control frame, by the table of protocol 6.3."""
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

    async def _until_idle(self) -> None:
        """Wait until `take` was not called for `_IDLE` seconds. Raises the error that ended a `take`."""
        while True:
            self._taken = False
            await self._wait_for_taker(_IDLE)
            if self._turn == _FREE and not self._taken:
                return
            if not self._taken:  # a task is reading in `take`: check again when it has returned
                self._asked = True
                await self._wait_for_taker(None)
                self._asked = False

    async def _wait_for_taker(self, limit: float | None) -> None:
        if self._end is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await self._wake_up.wait()
        self._wake_up.clear()
        if self._end is not None:
            raise self._end
