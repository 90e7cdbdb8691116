"""The capacity of the load server: submits from raw sockets, without an HTTP library.

`python -m benchmarks.saturation URL SECONDS` prints requests per second and the server's CPU for each.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from benchmarks.harness.load import Load
from benchmarks.harness.worker import ServerView

CONNECTIONS = 50


class _Hammer(asyncio.Protocol):
    """Sends the same submit again after each response (responses fit into one segment)."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: Any = None
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(self._request)

    def data_received(self, _: bytes) -> None:
        self.answers += 1
        self._transport.write(self._request)


async def hammer(url: str, seconds: float) -> dict[str, float]:
    host, _, port = url.removeprefix("http://").partition(":")
    request = _submit(url)
    server = ServerView(url)
    before, started = server.report(), time.monotonic()
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: _Hammer(request), host, int(port)) for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(seconds)
    for transport, _ in opened:
        transport.close()
    wall, after = time.monotonic() - started, server.report()
    requests = after["requests"]["submit"] - before["requests"].get("submit", 0)
    cpu = after["cpu_seconds"] - before["cpu_seconds"]
    return {"per_second": requests / wall, "server_cpu_each": cpu / requests, "server_share": cpu / wall}


def _submit(url: str) -> bytes:
    body = json.dumps(Load(rival="none").input).encode()
    head = f"POST /queue.fal.run/bench/job HTTP/1.1\r\nHost: {url.removeprefix('http://')}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


if __name__ == "__main__":
    print(json.dumps(asyncio.run(hammer(sys.argv[1], float(sys.argv[2])))))
