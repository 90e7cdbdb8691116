"""An open WebSocket, with its messages as values, and heartbeats that a slow reader doesn't fail."""

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
"""Seconds that a peer gets to answer a close frame."""
_SOCKET_FAILURES = (aiohttp.ClientError, OSError, RuntimeError)
_DATA = (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT)


class AiohttpWebSocket:
    """An open WebSocket. Only one task may receive; pings are answered while it does.

    `heartbeat`: after so many seconds of silence the peer is pinged, and has as long to say anything. Time in
    which nobody receives does not count: what the peer says is not read then, so its silence means nothing.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, heartbeat: float | None = None) -> None:
        self._socket, self._heartbeat = socket, heartbeat
        self._heard = self._receiving = self._pinged = self._dead = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._arm()

    async def send(self, data: bytes | str) -> None:
        """A binary or a text frame. TransportError: it was not sent."""
        try:
            if isinstance(data, str):
                await self._socket.send_str(data)
            else:
                await self._socket.send_bytes(data)
        except _SOCKET_FAILURES as error:
            raise TransportError("the WebSocket is closed") from error

    async def receive(self) -> bytes | str:
        """The next message: bytes of a binary, str of a text frame.

        Disconnected where the connection is closed, with code 1006 where it just broke.
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
        """With the closing handshake. The peer has `CLOSE_WAIT` seconds for it in all: aiohttp would grant them
        anew with each message that still comes, and so wait for ever for one that goes on sending."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WAIT):
                await self._socket.close(code=code)

    def detach(self) -> None:
        """No more heartbeats."""
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
    # The task that receives learns of a connection that broke meanwhile.
    with contextlib.suppress(*_SOCKET_FAILURES):
        await work


@contextlib.asynccontextmanager
async def connected(
    http: aiohttp.ClientSession, call: Call, *, max_size: int, limit: float | None
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A WebSocket whose handshake took at most `limit` seconds. ApiError where it was refused."""
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
