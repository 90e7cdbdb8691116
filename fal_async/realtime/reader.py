"""Reads a connection: in the user's task while it waits for a message, else in the connection's own task."""

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
"""Which task reads now: none, the connection's own task (in `run`), or the user's task (in `take`)."""
_IDLE = 0.5
"""Seconds without a call of `take` after which the task in `run` reads, to answer pings and notice a disconnect."""


class Lost(Exception):
    """Raised when the connection is lost and a new one may help.

    `error`: the reason. `unauthorized`: whether the token was rejected; default False. `ended`: whether the server
    had ended the session normally, and a new session begins; default False.
    """

    def __init__(self, error: RealtimeError, *, unauthorized: bool = False, ended: bool = False) -> None:
        super().__init__()
        self.error: RealtimeError = error
        self.unauthorized: bool = unauthorized
        self.ended: bool = ended


class Reader:
    """Reads the frames of one connection as messages.

    If a separate task read each message and passed it to the user's task, that would cost a turn of the event loop,
    a sixth of a round trip's CPU. Therefore the user's task reads the connection itself, in `take`. While it does
    not, the connection's own task reads in `run`, puts the messages into the queue, and handles a disconnect.

    `on_timings`: called with the seconds that the model reports as its run time. If it raises, reading stops with
    that exception.
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
        self._taken = False  # whether `take` has returned since `run` last checked
        self._asked = False  # whether `run` waits for a `take` to return
        self._end: Exception | None = None
        self._wake_up = asyncio.Event()

    async def run(self) -> None:
        """Read until the session ends normally.

        Raises Lost if a new connection may help, else RealtimeError; or an exception of `on_timings`.
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
        """Return the next message. At the session's end, return END or raise its error."""
        if self._turn == _TAKER:
            raise SessionStateError("another task is receiving from this connection: only one task can")
        if self._turn == _READER or self._end is not None or self._messages.waiting:
            return await self._messages.get()
        self._turn = _TAKER
        try:
            # This is `_message` inlined, which saves a coroutine for nearly every message.
            control, value = self._read(await self._socket.receive())
            if control is not None:
                await self._obey(control)
                return await self._message()
            self._in_flight.answered()
            return value
        except Exception as error:
            self._end = error  # the task in `run` handles the error, and closes the queue
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
        """Act on a control frame as the table of protocol 6.3 says."""
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
        """Wait until `take` was not called for `_IDLE` seconds. If a `take` failed, raise its error."""
        while True:
            self._taken = False
            await self._wait_for_taker(_IDLE)
            if self._turn == _FREE and not self._taken:
                return
            if not self._taken:  # a task is still reading in `take`: check again when it has returned
                self._asked = True
                await self._wait_for_taker(None)
                self._asked = False

    async def _wait_for_taker(self, limit: float | None) -> None:
        """Wait `limit` seconds (None: no limit), or until a `take` fails or, if `_asked`, returns.

        If a `take` failed, raise its error.
        """
        if self._end is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await self._wake_up.wait()
        self._wake_up.clear()
        if self._end is not None:
            raise self._end
