"""CPU of streams and realtime: `python -m benchmarks.streaming` prints both tables, as Markdown.

Streams: 100,000 small events, read by fal_async, by fal's own client (`pip install fal-client`), and by a loop
on bare aiohttp that splits lines (the floor, which knows no more of the format than this benchmark needs).
Realtime: an echo, one message answered before the next is sent, by fal_async and by a loop on bare aiohttp
with msgpack. Every candidate and the server are processes of their own; they take turns, several rounds, and
the table gives the median of each candidate's own CPU time (user and system), start-up left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median

EVENT = {"output": "The quiet river keeps its letter near the window.", "partial": True, "error": None}
MESSAGE = {"prompt": "a cat in the rain", "seed": 6252023, "strength": 0.8, "image": b"\xff\xd8" * 512}
PATH = "me/bench"


# The server: raw bytes for streams, aiohttp's own WebSocket for the echo.


async def serve(events: int) -> None:
    from aiohttp import WSMsgType, web

    event = f"data: {json.dumps(EVENT)}\n\n".encode()
    piece = event * 50

    async def stream(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(events // 50):
            await response.write(piece)
        return response

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0, compress=False)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket

    app = web.Application()
    app.router.add_post(f"/{PATH}/stream", stream)
    app.router.add_get(f"/{PATH}/realtime", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


# The candidates: each gives how many it has read.


async def fal_async_stream(port: int, _: int) -> int:
    from fal_async import Hosts, Session

    count = 0
    async with Session("id:secret", hosts=Hosts(run=f"http://127.0.0.1:{port}")) as fal:
        async for _event in fal.stream(PATH, {}):
            count += 1
    return count


async def fal_client_stream(port: int, _: int) -> int:
    import fal_client.client as client

    client.RUN_URL_FORMAT = f"http://127.0.0.1:{port}/"  # a constant with https in it
    count = 0
    async for _event in client.AsyncClient(key="id:secret").stream(PATH, {}):
        count += 1
    return count


async def aiohttp_stream(port: int, _: int) -> int:
    import aiohttp

    count = 0
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"http://127.0.0.1:{port}/{PATH}/stream", json={}) as response,
    ):
        async for line in response.content:
            if line.startswith(b"data: "):
                json.loads(line[6:])
                count += 1
    return count


async def fal_async_echo(port: int, count: int) -> int:
    from fal_async import Hosts, Session

    hosts = Hosts(realtime=f"ws://127.0.0.1:{port}")
    async with (
        Session("id:secret", hosts=hosts) as fal,
        fal.realtime.connect(PATH, use_token=False) as connection,
    ):
        for _ in range(count):
            await connection.send(MESSAGE)
            await connection.recv()
    return count


async def fal_async_request(port: int, count: int) -> int:
    from fal_async import Hosts, Session

    hosts = Hosts(realtime=f"ws://127.0.0.1:{port}")
    async with (
        Session("id:secret", hosts=hosts) as fal,
        fal.realtime.connect(PATH, use_token=False) as connection,
    ):
        for _ in range(count):
            await connection.request(MESSAGE)
    return count


async def aiohttp_echo(port: int, count: int) -> int:
    import aiohttp
    import msgpack

    url = f"ws://127.0.0.1:{port}/{PATH}/realtime"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        for _ in range(count):
            await socket.send_bytes(msgpack.packb(MESSAGE))
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                raise RuntimeError(f"unexpected {message.type}")
            msgpack.unpackb(message.data)
    return count


async def fal_client_echo(port: int, count: int) -> int:
    import fal_client.client as client

    client.REALTIME_URL_FORMAT = f"ws://127.0.0.1:{port}/"
    fal = client.AsyncClient(key="id:secret")
    async with fal.realtime(PATH, use_jwt=False) as connection:
        for _ in range(count):
            await connection.send(MESSAGE)
            await connection.recv()
    return count


Candidate = Callable[[int, int], Awaitable[int]]
STREAMS: dict[str, Candidate] = {
    "fal_async": fal_async_stream,
    "fal-client": fal_client_stream,
    "bare aiohttp": aiohttp_stream,
}
ECHOES: dict[str, Candidate] = {
    "fal_async": fal_async_echo,
    "fal_async, request()": fal_async_request,
    "bare aiohttp + msgpack": aiohttp_echo,
    "fal-client": fal_client_echo,
}


async def measured(candidate: Candidate, port: int, count: int) -> dict[str, float]:
    """A small run first: imports and the first connection are not what this is about."""
    await candidate(port, 200)
    began, cpu = time.perf_counter(), time.process_time()
    done = await candidate(port, count)
    return {"count": done, "cpu": time.process_time() - cpu, "wall": time.perf_counter() - began}


# Taking turns.


def run(table: str, name: str, port: int, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.streaming", "--one", table, name, str(port), str(count)]
    out = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
    figures: dict[str, float] = json.loads(out)
    if figures["count"] != count:
        raise RuntimeError(f"{name} has read {figures['count']:g} of {count}")
    return figures


def start_server(events: int) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-m", "benchmarks.streaming", "--serve", str(events)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if server.stdout is None:
        raise RuntimeError("the server has no output")
    return server, int(server.stdout.readline())


def take(table: str, names: list[str], count: int, rounds: int) -> dict[str, list[dict[str, float]]]:
    server, port = start_server(count if table == "streams" else 0)
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    try:
        for _ in range(rounds):
            for name in names:
                taken[name].append(run(table, name, port, count))
    finally:
        server.terminate()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()
    return taken


def table_of(taken: dict[str, list[dict[str, float]]], base: str, unit: str, count: int) -> str:
    lines = [f"| | CPU per {unit}, µs | wall per {unit}, µs | CPU beside {base} |", "|---|---|---|---|"]
    reference = median(figures["cpu"] for figures in taken[base])
    for name, rounds in taken.items():
        cpu, wall = (median(figures[kind] for figures in rounds) for kind in ("cpu", "wall"))
        ratio = median(
            one["cpu"] / other["cpu"] for one, other in zip(rounds, taken[base], strict=True)
        )  # round by round: both had the same neighbours then
        micro = 1e6 / count
        lines.append(f"| {name} | {cpu * micro:.1f} | {wall * micro:.1f} | {ratio:.2f} |")
    lines.append(f"\n{len(taken[base])} rounds of {count:,}; {base}: {reference:.2f} s of CPU in all.")
    return "\n".join(lines)


def installed(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", default=["streams", "realtime"], help="streams, realtime")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve))
    elif options.one is not None:
        table, name, port, count = options.one
        candidate = (STREAMS if table == "streams" else ECHOES)[name]
        print(json.dumps(asyncio.run(measured(candidate, int(port), int(count)))))
    else:
        report(options.tables, options.quick, options.rounds)


def report(tables: list[str], quick: bool, rounds: int) -> None:
    rivals = installed("fal_client")
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs")
    if "streams" in tables:
        count = 10_000 if quick else 100_000
        taken = take("streams", [name for name in STREAMS if rivals or name != "fal-client"], count, rounds)
        print(f"\nStreams, {count:,} events of {len(json.dumps(EVENT))} characters:\n")
        print(table_of(taken, "fal-client" if rivals else "bare aiohttp", "event", count))
    if "realtime" in tables:
        count = 2_000 if quick else 20_000
        taken = take("echoes", [name for name in ECHOES if rivals or name != "fal-client"], count, rounds)
        print("\nRealtime echo, messages of a kilobyte:\n")
        print(table_of(taken, "bare aiohttp + msgpack", "round trip", count))


if __name__ == "__main__":
    main()
