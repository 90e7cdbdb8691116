"""A realtime connection whose WebSocket is replaced when it is lost (protocol 6.3, 6.5)."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fal_async.callbacks import call_back
from fal_async.errors import ApiError, FalError, RealtimeError, SessionStateError, TransportError
from fal_async.protocol.realtime import BROKEN
from fal_async.protocol.reconnecting import InFlight, Outgoing, Reconnect, Reconnected, Unsent
from fal_async.realtime.codec import Codec
from fal_async.realtime.dialer import Dialer
from fal_async.realtime.lost_answers import LostAnswers
from fal_async.realtime.message_queue import MessageQueue
from fal_async.realtime.pending_request import PendingRequest
from fal_async.realtime.reader import Lost, OnTimings, Reader
from fal_async.transport import WebSocket

OnReconnect = Callable[[Reconnected], Awaitable[None] | None]

_STEADY = 60.0
"""Seconds after which a connection counts as successful even without a message, because some models only listen."""


class ReconnectingConnection:
    """Keeps a connection open. One task reads (see `Reader`) and reconnects. Tasks that send write directly.

    While there is no connection, messages to send are put into `unsent`.

    `ended`: whether the session is over, normally or with the error that `messages` raises. `reconnects`: how often
    a lost connection was replaced. `pending`: the call of `request` that fails at once when its connection is lost.
    """

    def __init__(
        self,
        dialer: Dialer,
        codec: Codec,
        *,
        messages: MessageQueue,
        pending: PendingRequest,
        endpoint_id: str,
        policy: Reconnect | None,
        unsent: Unsent,
        on_reconnect: OnReconnect | None,
        on_timings: OnTimings | None,
    ) -> None:
        self._dialer, self._codec, self._policy, self._endpoint_id = dialer, codec, policy, endpoint_id
        self._on_reconnect, self._on_timings = on_reconnect, on_timings
        self._messages = messages
        self.lost: LostAnswers = LostAnswers(messages, pending, self.problem)
        self.unsent: Unsent = unsent
        self.in_flight: InFlight = InFlight()
        self._exits = contextlib.AsyncExitStack()
        self._socket: WebSocket | None = None  # None while there is no connection
        # The reader of the newest connection. None: this session has had no connection yet.
        self._reader: Reader | None = None
        self._task: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._moved = asyncio.Event()  # set, and replaced, when a connection is open or the session is over
        self._fruitless = self._rejections = self._resent = 0
        self._stands_since = 0.0
        self._error: FalError | None = None
        self._closed = False
        self._end_was_reported = True
        self.ended: bool = False
        self.reconnects: int = 0

    @property
    def started(self) -> bool:
        return self._task is not None

    async def start(self) -> None:
        """Connect, and start reading. Raises the errors of the token service and of the handshake."""
        await self._connect()
        self._start_task()

    def _start_task(self) -> None:
        self._end_was_reported = self._messages.end_was_reported
        self._messages.reopen()
        self.ended, self._fruitless, self._rejections = False, 0, 0
        self._task = asyncio.get_running_loop().create_task(self._live(), name="fal_async realtime")
        self._task.add_done_callback(self._task_ended)
        self._messages.producer = self._task

    async def aclose(self) -> None:
        self._closed = True
        task = self._task
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait({task})
        self._finish(None)
        await self._hang_up()

    def problem(self, message: str, **details: Any) -> RealtimeError:
        return RealtimeError(message, endpoint_id=self._endpoint_id, **details)

    async def send(self, outgoing: Outgoing) -> None:
        """Send a message. While there is no connection, put it into `unsent`.

        Raises RealtimeError if the session is over and can't be begun again.
        """
        socket = self._socket
        if socket is not None and not self.unsent.waiting:
            try:
                return await self._transmit(socket, outgoing)
            except TransportError as error:
                if self._policy is None:
                    raise self.problem("the realtime connection is lost", code=BROKEN) from error
                self._socket = None  # the reading task notices the loss too, and reconnects
        return await self._send_later(outgoing)

    async def _send_later(self, outgoing: Outgoing) -> None:
        if not self.started:
            await self._not_entered()
        while True:
            if self.ended or self._closed:
                await self._begin_session()
            if self._socket is not None and not self.unsent.waiting:
                return await self.send(outgoing)
            if not self.unsent.full:
                for dropped in self.unsent.add(outgoing):
                    self.lost.was_replaced(dropped)
                return None
            await self._moved.wait()

    async def _transmit(self, socket: WebSocket, outgoing: Outgoing) -> None:
        """Write a message to the socket. Raises TransportError if it was not sent."""
        self.in_flight.add(outgoing)
        try:
            await socket.send(outgoing.data)
        except TransportError:
            self.in_flight.remove(outgoing)
            raise

    async def _begin_session(self) -> None:
        """Begin a new session, if the last one ended normally and reconnecting is allowed; otherwise raise."""
        if self._closed:
            raise SessionStateError("the realtime connection is closed")
        if self._error is not None:
            raise self._error
        if self._policy is None:
            raise self.problem("the session has ended")
        async with self._starting:
            if self.ended and self._task is not None:
                await asyncio.wait({self._task})
                # The new task has no reader, and therefore connects in the same way as after a loss.
                self._reader = None
                self._start_task()

    async def _not_entered(self) -> Any:
        raise SessionStateError("use the connection in a block: `async with fal.realtime.connect(...)`")

    def take(self) -> Awaitable[Any]:
        """Return an awaitable of the next message; after the last one, of `END`, or raising the session's error."""
        if self._reader is not None:
            return self._reader.take()
        return self._messages.get() if self.started else self._not_entered()

    async def _live(self) -> None:
        try:
            while not self.ended:
                try:
                    await self._receive_all()
                except Lost as lost:
                    await self._reconnect(lost)
        except FalError as error:
            self._finish(error)
        except Exception as error:
            self._finish(self._failed_callback(error))
        await self._hang_up()

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """End the session if `_live` has not ended it. Otherwise the task that receives would wait forever.

        Other code may have cancelled the task, perhaps before its first step. A callback may have raised an
        exception that is not an `Exception`.
        """
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._finish(self._failed_callback(error))
        elif not self._closed:
            self._finish(self.problem("the task that reads the connection was cancelled by other code"))

    def _failed_callback(self, error: BaseException) -> RealtimeError:
        problem = self.problem(f"a callback failed: {type(error).__name__}")
        problem.__cause__ = error
        return problem

    async def _receive_all(self) -> None:
        """Read until the session ends. Raises `Lost` if a new connection is needed."""
        if self._reader is None:
            raise Lost(self.problem("the session had ended"), ended=True)
        await self._reader.run()
        if self.unsent.waiting:
            raise Lost(self.problem("the session ended while a message was to be sent"))
        self._finish(None)

    async def _reconnect(self, lost: Lost) -> None:
        """Replace the lost connection. If that is not possible, raise the error with which the session ends."""
        self._socket, began = None, time.monotonic()
        if self.in_flight.fruitful or began - self._stands_since > _STEADY:
            self._fruitless = self._rejections = 0
        in_flight = self._lose_in_flight(lost)
        await self._hang_up()
        if self._policy is None or (lost.unauthorized and not self._another_token()):
            lost.error.in_flight = in_flight
            raise lost.error
        attempts, at_once = 1, lost.unauthorized or lost.ended
        while not await self._try(self._policy, lost, at_once=at_once):
            attempts, at_once = attempts + 1, False
        if lost.ended:
            self._resent = self.unsent.dropped = 0
            if not self._end_was_reported:
                self.lost.report(lost.error)
            return
        self.reconnects += 1
        news = Reconnected(
            cause=lost.error,
            attempts=attempts,
            downtime=time.monotonic() - began,
            in_flight=tuple(in_flight),
            resent=self._resent,
            dropped=self.unsent.dropped,
        )
        self._resent = self.unsent.dropped = 0
        if self._on_reconnect is None:
            self.lost.report(lost.error)
        await call_back(self._on_reconnect, news)

    def _another_token(self) -> bool:
        self._rejections += 1
        return self._dialer.token_rejected(self._rejections)

    def _lose_in_flight(self, lost: Lost) -> list[Any]:
        """Return the messages that were sent and will not be answered.

        If the token was rejected, the server has read none of them. They are put back into `unsent` instead.
        """
        fruitful = self.in_flight.fruitful
        sent = self.in_flight.take()
        if lost.unauthorized and not fruitful and self._policy is not None:
            self._put_back(sent)
            return []
        return self.lost.lose(sent, lost.error)

    def _put_back(self, sent: list[Outgoing]) -> None:
        for dropped in self.unsent.put_back(sent):
            self.lost.was_replaced(dropped)

    async def _try(self, policy: Reconnect, lost: Lost, *, at_once: bool) -> bool:
        """Make one attempt to connect. Return whether it succeeded.

        RealtimeError after `policy.attempts` connections and attempts in a row without any received message.
        """
        if self._fruitless >= policy.attempts:
            raise self.problem(
                f"no new connection in {policy.attempts} attempts after: {lost.error.message}",
                code=lost.error.code,
            ) from lost.error
        self._fruitless += 1
        if not at_once:
            await asyncio.sleep(policy.delay(self._fruitless, random.random()))
        try:
            await self._connect()
            await self._send_unsent()
        except (TransportError, ApiError) as error:
            if isinstance(error, ApiError) and not (error.retryable or error.status >= 500):
                raise
            lost.error.__cause__ = error
            await self._hang_up()
            return False
        return True

    async def _send_unsent(self) -> None:
        while self._socket is not None and (outgoing := self.unsent.pop()) is not None:
            try:
                await self._transmit(self._socket, outgoing)
            except TransportError:
                self._put_back([outgoing])
                raise
            self._resent += 1
        self._notify_moved()

    async def _connect(self) -> None:
        exits = contextlib.AsyncExitStack()
        socket = self._socket = await self._dialer.dial(exits)
        self._reader = Reader(
            socket,
            codec=self._codec,
            messages=self._messages,
            in_flight=self.in_flight,
            on_timings=self._on_timings,
            endpoint_id=self._endpoint_id,
        )
        self._exits, self._stands_since = exits, time.monotonic()
        self._notify_moved()

    async def _hang_up(self) -> None:
        self._socket = None
        exits, self._exits = self._exits, contextlib.AsyncExitStack()
        await exits.aclose()

    def _finish(self, error: FalError | None) -> None:
        if not self.ended:
            self.ended, self._error, self._socket = True, error, None
            self._messages.close(error)
            self._notify_moved()

    def _notify_moved(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
