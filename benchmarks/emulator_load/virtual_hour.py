"""An hour of virtual time, in this process: requests that work for minutes, and webhooks that fail at first."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
from aiohttp import web

from fal_async.emulator import Emulator, JobContext

_FAILURES = 3
"""How many attempts of each webhook get a 503."""


def virtual_hour(count: int) -> dict[str, float]:
    """Return what an hour with requests takes; each tenth has a webhook that is delivered at the fourth attempt."""
    wall, cpu = time.perf_counter(), time.process_time()
    emulator = asyncio.run(_hour(count))
    ends = [job.completed_at or 0 for job in emulator.jobs.values()]
    begins = [job.submitted_at for job in emulator.jobs.values()]
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "virtual": max(ends) - min(begins),
        "webhook_attempts": len(emulator.webhooks.attempts),
    }


async def _hour(count: int) -> Emulator:
    failed: dict[str, int] = {}

    async def receive(request: web.BaseRequest) -> web.Response:
        job = str((await request.json())["request_id"])
        failed[job] = failed.get(job, 0) + 1
        return web.Response(status=503 if failed[job] <= _FAILURES else 200)

    receiver = web.ServerRunner(web.Server(receive))
    await receiver.setup()
    site = web.TCPSite(receiver, "127.0.0.1", 0)
    await site.start()
    host, port = receiver.addresses[0][:2]
    async with Emulator(clock="auto") as emulator, aiohttp.ClientSession() as http:

        @emulator.endpoint("me/work", runners=count // 60)
        async def work(input: Any, job: JobContext) -> Any:
            await job.sleep(input["seconds"])
            return input

        headers = {"Authorization": f"Key {emulator.key}"}
        for number in range(count):
            query = {} if number % 10 else {"fal_webhook": f"http://{host}:{port}/"}
            input = {"number": number, "seconds": 45 + number % 31}
            url = f"{emulator.url}/queue.fal.run/me/work"
            async with http.post(url, params=query, json=input, headers=headers) as answer:
                answer.raise_for_status()
        for job in emulator.jobs.values():
            await job.wait_for("COMPLETED")
        await emulator.webhooks.wait_until_idle(timeout=60)
    await receiver.cleanup()
    return emulator
