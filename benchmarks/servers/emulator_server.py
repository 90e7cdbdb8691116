"""The emulator as a separate process, with the endpoints that the worker calls.

`python -m benchmarks.servers.emulator_server [FOLDER]` prints its URL and serves until its standard input is
closed, like the load server. Uploaded files are stored in FOLDER.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from benchmarks.harness.cpu import cpu_seconds
from benchmarks.harness.memory import PeakMemory
from benchmarks.rivals import KEY
from fal_async.emulator import Emulator
from fal_async.emulator.serve import fewer_collections

KINDS = ("submit", "status", "status_stream", "result", "cancel", "part")


async def serve(folder: str | None) -> None:
    emulator = Emulator(key=KEY, record=False, folder=folder)
    memory = PeakMemory()
    reports = 0

    async def job(_: Any) -> dict[str, Any]:
        return {"completed_at": time.monotonic(), "text": "a cat"}

    async def report(_: Any) -> dict[str, Any]:
        nonlocal reports
        reports += 1
        return {
            "cpu_seconds": cpu_seconds(),
            # The emulator counts a report as a run.
            "requests": {
                **{kind: emulator.count(kind) for kind in KINDS},
                "run": emulator.count("run") - reports,
            },
            "submissions": emulator.count("submit"),
            "connections": emulator.connections_opened,
            "most_connections": emulator.connections_opened,
            "memory": memory.peak(),
            "resident": memory.now(),
        }

    async def endless(_: Any) -> None:
        await asyncio.get_running_loop().create_future()

    for endpoint_id in ("bench/job", "bench/warm-up"):
        emulator.endpoint(endpoint_id, runners=10_000)(job)
    emulator.endpoint("bench/report", public=True)(report)
    emulator.endpoint("bench/endless", runners=10_000)(endless)
    emulator.endpoint("bench/waiting", runners=1)(endless)
    async with emulator, fewer_collections():
        print(emulator.url, flush=True)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1] if len(sys.argv) > 1 else None))
