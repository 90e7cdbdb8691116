"""An open WebSocket over aiohttp, with heartbeats that tolerate a slow reader."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import aiohttp
from yarl import URL

from fal_async.errors import TransportError, TransportTimeoutError
from fal_async.protocol.api_errors import error_of
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.origins import host_of
from fal_async.protocol.realtime import BROKEN, NO_CODE, Disconnected
from fal_async.transport.aiohttp_errors import conceal, raise_as_ours
from fal_async.transport.attempt import Call
from fal_async.transport.response_body import lower_names

CLOSE_WAIT = 2.0
"""Seconds that a peer has to answer a close frame."""
_SOCKET_FAILURES = (aiohttp.ClientError, OSError, RuntimeError)
_DATA = (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT)


class AiohttpWebSocket:
    """An open WebSocket over aiohttp. See `WebSocket` of the interface.

    `heartbeat`: seconds without a frame of the peer after which it is pinged. If no frame arrives for as long
    again, the connection counts as broken. Only time in which a task receives counts, because frames are not read
    otherwise. None (default): no pings.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, heartbeat: float | None = None) -> None:
        self._socket, self._heartbeat = socket, heartbeat
        self._heard = self._receiving = self._pinged = self._dead = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._arm()

    async def send(self, data: bytes | str) -> None:
        """Send a binary or a text frame. TransportError if it was not sent."""
        try:
            if isinstance(data, str):
                await self._socket.send_str(data)
            else:
                await self._socket.send_bytes(data)
        except _SOCKET_FAILURES as error:
            raise TransportError("the WebSocket is closed") from error

    async def receive(self) -> bytes | str:
        """Return the next message: `bytes` of a binary frame, `str` of a text frame.

        Raises Disconnected if the connection is closed; its code is 1006 if the connection broke.
        """
        self._receiving = True
        try:
            while True:
                message = await self._socket.receive()
                self._heard = True
                if message.type in _DATA:
                    return message.data  # type: ignore[no-any-return]
                if message.type is aiohttp.WSMsgType.PING:
                    self._spawn(self._socket.pong(message.data))
                elif message.type is not aiohttp.WSMsgType.PONG:
                    raise self._end(message)
        finally:
            self._receiving = False

    async def close(self, code: int = 1000) -> None:
        """Close the connection with the closing handshake, which takes at most `CLOSE_WAIT` seconds.

        aiohttp's own limit begins anew with each message that still arrives. Without ours, closing would take
        forever if the peer does not stop sending.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WAIT):
                await self._socket.close(code=code)

    def detach(self) -> None:
        """Stop the heartbeats."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def _end(self, message: Any) -> Disconnected:
        if message.type is aiohttp.WSMsgType.CLOSE:
            reason = message.extra if isinstance(message.extra, str) else ""
            return Disconnected(message.data or NO_CODE, reason)
        if message.type is aiohttp.WSMsgType.ERROR and isinstance(message.data, aiohttp.WebSocketError):
            return Disconnected(message.data.code, str(message.data))
        return Disconnected(BROKEN, "the peer did not answer a ping" if self._dead else "")

    def _arm(self) -> None:
        if self._heartbeat is not None:
            self._timer = asyncio.get_running_loop().call_later(self._heartbeat, self._beat)

    def _beat(self) -> None:
        if self._heard or not self._receiving:
            self._heard = self._pinged = False
        elif self._pinged:
            self._dead = True
            self._spawn(self.close())
            return
        else:
            self._pinged = True
            self._spawn(self._socket.ping())
        self._arm()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _quietly(work: Coroutine[Any, Any, Any]) -> None:
    # If the connection is broken, the task that receives raises the error.
    with contextlib.suppress(*_SOCKET_FAILURES):
        await work


@contextlib.asynccontextmanager
async def connected(
    http: aiohttp.ClientSession, call: Call, *, max_size: int, limit: float | None
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Open a WebSocket. `limit`: seconds for the handshake; None: no limit. ApiError if it is refused."""
    request = call.request
    async with contextlib.AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(limit):
                raw = await stack.enter_async_context(
                    http.ws_connect(
                        URL(request.url, encoded=True),
                        headers=call.headers,
                        autoping=False,
                        max_msg_size=max_size,
                        timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_WAIT),
                        proxy=call.route.proxy,
                    )
                )
        except aiohttp.WSServerHandshakeError as error:
            answer = HttpResponse(status=error.status, headers=lower_names(error.headers or {}), body=b"")
            conceal(error)
            raise error_of(request, answer, time.time()) from None
        except TimeoutError as error:
            within = "in time" if limit is None else f"within {limit:g} s (connect_timeout)"
            words = f"no WebSocket to {host_of(request.url)} {within}"
            raise TransportTimeoutError(words, endpoint_id=request.endpoint_id) from error
        except Exception as error:
            raise_as_ours(call, error)
            raise
        yield raw
