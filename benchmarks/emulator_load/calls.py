"""Requests from raw sockets, without an HTTP library: the client costs a small part of what the server does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator, Iterable
from typing import Any

from benchmarks.rivals import KEY

Exchange = Generator[bytes, bytes, None]
"""What one connection sends: it yields a request, and is sent the body of its response."""
_HEADERS = (
    "Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nUser-Agent: bench/1.0\r\n"
    f"Authorization: Key {KEY}\r\n"
)
"""The headers that clients based on httpx send, since the emulator reads and keeps headers."""
_ID, _LENGTH = b'"request_id":"', b"content-length:"


def request(url: str, method: str, path: str, body: Any = None) -> bytes:
    """Return the bytes of a request to the queue's host."""
    head = f"{method} /queue.fal.run/{path} HTTP/1.1\r\nHost: {url.removeprefix('http://')}\r\n{_HEADERS}"
    if body is None:
        return f"{head}\r\n".encode()
    data = json.dumps(body).encode()
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


def id_in(body: bytes) -> str:
    at = body.index(_ID) + len(_ID)
    return body[at : at + 36].decode()


class _Connection(asyncio.Protocol):
    """Sends the next request of an exchange when the response to the last one is complete."""

    def __init__(self, exchange: Exchange, ended: Callable[[], None]) -> None:
        self._exchange, self._ended = exchange, ended
        self._transport: Any = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send_next(None)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._received = b""
        self._send_next(body)

    def connection_lost(self, _: Exception | None) -> None:
        self._ended()

    def _send_next(self, body: bytes | None) -> None:
        try:
            self._transport.write(next(self._exchange) if body is None else self._exchange.send(body))
        except StopIteration:
            self._transport.close()


def _length(head: bytes) -> int:
    head = head.lower()
    return int(head[head.index(_LENGTH) + len(_LENGTH) :].partition(b"\r\n")[0])


async def send_all(url: str, exchanges: Iterable[Exchange]) -> None:
    """Run each exchange on its own connection, all at the same time, until all have ended."""
    await asyncio.gather(*(_send(url, exchange) for exchange in exchanges))


async def _send(url: str, exchange: Exchange) -> None:
    ended = asyncio.Event()
    host, _, port = url.removeprefix("http://").partition(":")
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: _Connection(exchange, ended.set), host, int(port))
    await ended.wait()
