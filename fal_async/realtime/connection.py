"""One realtime connection as its user has it: send, receive, request (protocol 6)."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Any

from fal_async.checks import check_seconds
from fal_async.errors import (
    ClientTimeoutError,
    FalError,
    SessionStateError,
    short_tracebacks,
)
from fal_async.protocol.reconnecting import Outgoing, Reconnect, Throttle, Unsent
from fal_async.realtime.codec import Codec
from fal_async.realtime.dialer import Dialer
from fal_async.realtime.message_queue import END, MessageQueue
from fal_async.realtime.pending_request import PendingRequest
from fal_async.realtime.reader import OnTimings
from fal_async.realtime.reconnecting import OnReconnect, ReconnectingConnection


@short_tracebacks
class RealtimeConnection:
    """A conversation with a model: made by `fal.realtime.connect(...)`, used in an `async with` block.

        async with fal.realtime.connect("fal-ai/fast-lcm-diffusion") as connection:
            answer = await connection.request({"prompt": "a cat"})

            await connection.send({"prompt": "a dog"})
            async for message in connection: ...

    One task at a time may receive; any number may send. A session that the server ends in order (close 1000,
    or TIMEOUT when it was idle) ends the iteration; with `reconnect`, the next `send` begins another one.

    A lost connection (broken, silent, or the server going away) and a rejected token are made good in the
    background, unless `reconnect=False`: messages flow again. What was sent and not answered by then is
    told to `on_reconnect` (without one: once, as a RealtimeError of `recv` or the iteration, which go on after it),
    and never sent again; what could not be sent is, as `keep` says.
    An error of the model or of the server, and a refusal, are a `RealtimeError` in whoever receives.

    Attributes:
        endpoint_id: with its path.
    """

    def __init__(
        self,
        dialer: Dialer,
        codec: Codec,
        *,
        endpoint_id: str,
        reconnect: Reconnect | None,
        unsent: Unsent,
        receive_buffer: int,
        throttle: Throttle | None,
        on_reconnect: OnReconnect | None,
        on_timings: OnTimings | None,
    ) -> None:
        self._codec, self._throttle = codec, throttle
        self._pending = PendingRequest()
        self._connection = ReconnectingConnection(
            dialer,
            codec,
            messages=MessageQueue(receive_buffer),
            pending=self._pending,
            endpoint_id=endpoint_id,
            policy=reconnect,
            unsent=unsent,
            on_reconnect=on_reconnect,
            on_timings=on_timings,
        )
        self._turn = asyncio.Lock()
        self._closed = False
        self._held: Outgoing | None = None
        self._holding: asyncio.TimerHandle | None = None
        self._late_sends: set[asyncio.Task[None]] = set()
        self.endpoint_id = endpoint_id

    @property
    def reconnects(self) -> int:
        """How often a lost connection was made good."""
        return self._connection.reconnects

    @property
    def ended(self) -> bool:
        """Whether the session is over. Messages that came before may still wait to be received."""
        return self._connection.ended

    # Life.

    async def __aenter__(self) -> RealtimeConnection:
        if self._connection.started or self._closed:
            raise SessionStateError("a realtime connection is entered once: call connect() again")
        await self._connection.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close with code 1000. What waits to be sent is dropped. Closing twice is no error."""
        self._closed = True
        if self._holding is not None:
            self._holding.cancel()
        late = set(self._late_sends)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
        await self._connection.aclose()

    # Messages.

    async def send(self, message: Any) -> None:
        """Send a message. Without a connection for now, it is kept as `keep` says, and this returns.

        Raises:
            ConfigurationError: it can't be encoded.
            RealtimeError: the session is over.
            SessionStateError: the connection is closed, or was never entered.
        """
        outgoing = Outgoing(message, self._codec.encode(message))
        if self._throttle is None or self._goes_now(self._throttle, outgoing):
            await self._connection.send(outgoing)

    async def recv(self) -> Any:
        """The next message; None once the session has ended in order (then `ended` is true).

        RealtimeError where it ended otherwise; and, without `on_reconnect`, where a connection was lost with
        messages that were not answered (`.in_flight`): then `ended` is false, and the next call goes on.
        """
        if self._connection.lost.untold is not None:
            self._connection.lost.raise_untold()
        value = await self._connection.take()
        return None if value is END else value

    def __aiter__(self) -> RealtimeConnection:
        return self

    async def __anext__(self) -> Any:
        if self._connection.lost.untold is not None:
            self._connection.lost.raise_untold()
        value = await self._connection.take()
        if value is END:
            raise StopAsyncIteration
        return value

    async def request(self, message: Any, *, timeout: float | None = None) -> Any:
        """Send a message and give the next one that comes: for models that answer one with one.

        Requests of several tasks take turns. `timeout` in seconds, default none.

        Raises:
            RealtimeError: the connection was lost, or the session ended, before the answer; the message may
                have been worked on. Later requests use the next connection.
            ClientTimeoutError: no answer within `timeout`. As its answer may still come, later requests are
                refused, until the connection is made anew; and so after a cancelled request.
        """
        check_seconds("timeout", timeout, or_none=True)
        outgoing = Outgoing(message, self._codec.encode(message))
        if timeout is None:
            return await self._answer(outgoing)
        try:
            async with asyncio.timeout(timeout) as limit:
                return await self._answer(outgoing)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ClientTimeoutError(
                f"no answer within {timeout:g} s", timeout=timeout, endpoint_id=self.endpoint_id
            ) from error

    async def _answer(self, outgoing: Outgoing) -> Any:
        connection, pending, turn = self._connection, self._pending, self._turn
        await turn.acquire()
        try:
            if pending.given_up is not None:
                raise connection.problem(
                    "an earlier request was given up, and its late answer would pass for this one's: "
                    "open another connection"
                )
            pending.waiting = outgoing
            await connection.send(outgoing)
            value = await connection.take()
        except asyncio.CancelledError:
            connection.unsent.discard(outgoing)
            pending.given_up = outgoing if outgoing in connection.in_flight else None
            raise
        finally:
            pending.waiting = None
            turn.release()
        if value is END:
            raise connection.problem("the session ended before the answer", in_flight=[outgoing.message])
        return value

    # Throttle.

    def _goes_now(self, throttle: Throttle, outgoing: Outgoing) -> bool:
        """Whether it may be sent at once; otherwise it is held, in place of an older one, until it may."""
        loop = asyncio.get_running_loop()
        if self._held is None and (wait := throttle.wait(loop.time())):
            self._holding = loop.call_later(wait, self._release, throttle)
        elif self._held is None:
            return True
        self._held = outgoing
        return False

    def _release(self, throttle: Throttle) -> None:
        loop = asyncio.get_running_loop()
        held, self._held = self._held, None
        if held is not None and not self._closed:
            throttle.wait(loop.time())
            task = loop.create_task(self._send_late(held))
            self._late_sends.add(task)
            task.add_done_callback(self._late_sends.discard)

    async def _send_late(self, outgoing: Outgoing) -> None:
        # Whoever sent it has gone on: that the session is over is told to who receives or sends next.
        with contextlib.suppress(FalError):
            await self._connection.send(outgoing)
