"""The floor of the emulator's cost: aiohttp's low-level server, which gives a fixed answer to every request.

`python -m benchmarks.servers.bare_server` prints its URL and serves until its standard input is closed. Its answer
has the size and the headers of a submit's, and its report is that of the emulator's process.
"""

from __future__ import annotations

import asyncio
import json
import sys

from aiohttp import web

from benchmarks.harness.cpu import cpu_seconds

_ID = "338cbe7a-7cfe-48b8-aabf-7b77006986b1"


async def serve() -> None:
    handled = 0

    async def handle(request: web.BaseRequest) -> web.Response:
        nonlocal handled
        if request.path.endswith("/report"):
            return web.json_response({"cpu_seconds": cpu_seconds(), "requests": {"submit": handled}})
        handled += 1
        await request.read()
        urls = dict.fromkeys(("a_url", "b_url", "c_url"), f"http://{request.host}/queue.fal.run/bench/job")
        document = {"status": "IN_QUEUE", "request_id": _ID, **urls}
        text = json.dumps(document, separators=(",", ":"))
        return web.json_response(text=text, headers={"x-fal-request-id": _ID})

    server = await asyncio.get_running_loop().create_server(web.Server(handle), "127.0.0.1", 0)
    async with server:
        print("http://{}:{}".format(*server.sockets[0].getsockname()), flush=True)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve())
