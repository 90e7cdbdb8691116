"""One stream and one realtime session with each measured client.

`python -m benchmarks.rivals.streams TABLE NAME URL COUNT` prints how many of COUNT events (or round trips) the
client has read from the stream server at URL, and how long that took, in CPU seconds and seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

from benchmarks.rivals import KEY

EVENT = {"output": "The quiet river keeps its letter near the window.", "partial": True, "error": None}
MESSAGE = {"prompt": "a cat in the rain", "seed": 6252023, "strength": 0.8, "image": b"\xff\xd8" * 512}
PATH = "me/bench"

# Each function returns the number of events that it has read, and imports only its own client.


async def fal_async_stream(url: str, _: int) -> int:
    from fal_async import Hosts, Session

    count = 0
    async with Session(KEY, hosts=Hosts(run=url)) as fal:
        async for _event in fal.stream(PATH, {}):
            count += 1
    return count


async def fal_client_stream(url: str, _: int) -> int:
    import fal_client.client as client

    client.RUN_URL_FORMAT = f"{url}/"  # a constant with https
    count = 0
    async for _event in client.AsyncClient(key=KEY).stream(PATH, {}):
        count += 1
    return count


async def aiohttp_stream(url: str, _: int) -> int:
    import aiohttp

    count = 0
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/{PATH}/stream", json={}) as response,
    ):
        async for line in response.content:
            if line.startswith(b"data: "):
                json.loads(line[6:])
                count += 1
    return count


async def fal_async_echo(url: str, count: int) -> int:
    from fal_async import Hosts, Session

    hosts = Hosts(realtime=_websocket(url))
    async with (
        Session(KEY, hosts=hosts) as fal,
        fal.realtime.connect(PATH, use_token=False) as connection,
    ):
        for _ in range(count):
            await connection.send(MESSAGE)
            await connection.recv()
    return count


async def fal_async_request(url: str, count: int) -> int:
    from fal_async import Hosts, Session

    hosts = Hosts(realtime=_websocket(url))
    async with (
        Session(KEY, hosts=hosts) as fal,
        fal.realtime.connect(PATH, use_token=False) as connection,
    ):
        for _ in range(count):
            await connection.request(MESSAGE)
    return count


async def aiohttp_echo(url: str, count: int) -> int:
    import aiohttp
    import msgpack

    address = f"{_websocket(url)}/{PATH}/realtime"
    async with aiohttp.ClientSession() as http, http.ws_connect(address) as socket:
        for _ in range(count):
            await socket.send_bytes(msgpack.packb(MESSAGE))
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                raise RuntimeError(f"unexpected {message.type}")
            msgpack.unpackb(message.data)
    return count


async def fal_client_echo(url: str, count: int) -> int:
    import fal_client.client as client

    client.REALTIME_URL_FORMAT = f"{_websocket(url)}/"
    fal = client.AsyncClient(key=KEY)
    async with fal.realtime(PATH, use_jwt=False) as connection:
        for _ in range(count):
            await connection.send(MESSAGE)
            await connection.recv()
    return count


def _websocket(url: str) -> str:
    return url.replace("http:", "ws:", 1)


Candidate = Callable[[str, int], Awaitable[int]]
CANDIDATES: dict[str, dict[str, Candidate]] = {
    "streams": {
        "fal_async": fal_async_stream,
        "fal-client": fal_client_stream,
        "bare aiohttp": aiohttp_stream,
    },
    "realtime": {
        "fal_async": fal_async_echo,
        "fal_async, request()": fal_async_request,
        "bare aiohttp + msgpack": aiohttp_echo,
        "fal-client": fal_client_echo,
    },
}


async def measured(candidate: Candidate, url: str, count: int) -> dict[str, float]:
    """Measure a candidate after a small run, so that imports and the first connection do not count."""
    await candidate(url, 200)
    began, cpu = time.perf_counter(), time.process_time()
    done = await candidate(url, count)
    return {"count": done, "cpu": time.process_time() - cpu, "wall": time.perf_counter() - began}


if __name__ == "__main__":
    table, name, url, count = sys.argv[1:]
    print(json.dumps(asyncio.run(measured(CANDIDATES[table][name], url, int(count)))))
