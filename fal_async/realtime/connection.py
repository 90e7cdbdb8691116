"""`RealtimeConnection`: send, receive, request (protocol 6).

Citations such as (protocol 4.2) are sections of `fal_async/protocol/README.md`.
"""

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
    """A conversation with a model. `fal.realtime.connect(...)` returns it, to be used in an `async with` block.

        async with fal.realtime.connect("fal-ai/fast-lcm-diffusion") as connection:
            answer = await connection.request({"prompt": "a cat"})

            await connection.send({"prompt": "a dog"})
            async for message in connection: ...

    One task at a time may receive; any number of tasks may send. When the server ends the session normally (close
    code 1000, or TIMEOUT after an idle time), the iteration stops. With `reconnect`, the next `send` begins a new
    session.

    Unless `reconnect=False`, a lost connection (it broke, the server was silent or is shutting down) is replaced in
    the background, and a rejected token is renewed. Messages that were sent but not answered before the loss are
    reported to `on_reconnect`, and never sent again. Without `on_reconnect`, `recv` or the iteration raises one
    RealtimeError for them; afterwards you can continue to receive. Messages that could not be sent are kept as
    `keep` says, and sent on the new connection. If the model or the server reports an error, or refuses the
    connection, the task that receives gets a `RealtimeError`.

    Entering the block makes the handshake. It raises ApiError if fal refuses the handshake or the token,
    TransportError if fal is not reached, ConfigurationError if `token_provider` returns something other than a
    token, and SessionStateError if the connection was entered before. If entering is cancelled, no connection stays
    open.

    Attributes:
        endpoint_id: the endpoint, with its path.
        reconnects: how often a lost connection was replaced.
        ended: whether the session is over, normally or with an error.
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
        """How often a lost connection was replaced."""
        return self._connection.reconnects

    @property
    def ended(self) -> bool:
        """Whether the session is over. Messages that arrived before can still be received."""
        return self._connection.ended

    async def __aenter__(self) -> RealtimeConnection:
        if self._connection.started or self._closed:
            raise SessionStateError("a realtime connection can be entered only once: call connect() again")
        await self._connection.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection with code 1000. Messages that wait to be sent are discarded.

        Closing twice is allowed. If this call is cancelled, call it again. Raises nothing.
        """
        self._closed = True
        if self._holding is not None:
            self._holding.cancel()
        late = set(self._late_sends)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
        await self._connection.aclose()

    async def send(self, message: Any) -> None:
        """Send a message.

        The call does not wait for an answer. While a lost connection is being replaced, the message is kept as
        `keep` says. If this call is cancelled, the message may or may not have been sent.

        Args:
            message: anything that `encode` accepts. Without `encode=`: values of JSON, `bytes`, and records such as
                dataclasses.

        Raises:
            ConfigurationError: the message can't be encoded.
            RealtimeError: the session is over, or the connection is lost and `reconnect` is False.
            SessionStateError: the connection is closed, or was never entered.
        """
        outgoing = Outgoing(message, self._codec.encode(message))
        if self._throttle is None or self._goes_now(self._throttle, outgoing):
            await self._connection.send(outgoing)

    async def recv(self) -> Any:
        """Return the next message.

        Cancelling this call is safe: no message is lost.

        Returns:
            The decoded message. None when the session has ended normally; then `ended` is True.

        Raises:
            RealtimeError: the session ended with an error. Or, without `on_reconnect`, a connection was lost before
                messages were answered (`error.in_flight` has them); then `ended` is False, and `recv` can be called
                again.
            SessionStateError: another task is receiving, a callback of this connection called it, or the connection
                was never entered.
        """
        if self._connection.lost.unreported is not None:
            self._connection.lost.raise_unreported()
        value = await self._connection.take()
        return None if value is END else value

    def __aiter__(self) -> RealtimeConnection:
        return self

    async def __anext__(self) -> Any:
        if self._connection.lost.unreported is not None:
            self._connection.lost.raise_unreported()
        value = await self._connection.take()
        if value is END:
            raise StopAsyncIteration
        return value

    async def request(self, message: Any, *, timeout: float | None = None) -> Any:
        """Send a message and return the next message that arrives, for models that answer each message with one.

        Calls of several tasks wait for each other. After a call that was cancelled or timed out, its answer
        may still arrive and be mistaken for another one's. Therefore later calls raise RealtimeError until the
        connection is replaced.

        Args:
            message: anything that `encode` accepts.
            timeout: seconds for the whole call, waiting for calls of other tasks included. None (default): no
                limit.

        Returns:
            The answer, decoded.

        Raises:
            ConfigurationError: the message can't be encoded, or `timeout` is wrong.
            RealtimeError: the connection was lost, or the session ended, before the answer arrived; the model may
                have received the message. After a loss, later calls use the new connection. Or an earlier call was
                cancelled or timed out.
            ClientTimeoutError: no answer arrived within `timeout`.
            SessionStateError: the connection is closed, or another task is receiving.
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
                    "an earlier request() was cancelled or timed out, and its late answer could be taken for the "
                    "answer to this one: open another connection"
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

    def _goes_now(self, throttle: Throttle, outgoing: Outgoing) -> bool:
        """Return whether to send the message now. If not, it is sent later, in place of an older one."""
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
        # The call of `send` has returned already. The next `send` or `recv` reports the end of the session.
        with contextlib.suppress(FalError):
            await self._connection.send(outgoing)
