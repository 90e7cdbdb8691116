"""A model that streams and a realtime echo, with only what `benchmarks.streaming` needs of fal's interface.

`python -m benchmarks.servers.stream_server EVENTS` prints its URL and serves until its standard input is closed,
like the load server. A stream has EVENTS events.
"""

from __future__ import annotations

import asyncio
import json
import sys

from aiohttp import WSMsgType, web

from benchmarks.rivals.streams import EVENT, PATH


async def serve(events: int) -> None:
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
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
