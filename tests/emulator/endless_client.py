"""A process that submits different inputs over several connections until it is killed, each input once."""

from __future__ import annotations

import asyncio
import itertools
import sys

import aiohttp


async def submit_until_killed(url: str, key: str, name: str) -> None:
    headers = {"Authorization": f"Key {key}"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as http:

        async def one(worker: int) -> None:
            for n in itertools.count():
                body = {"client": name, "worker": worker, "n": n}
                async with http.post(f"{url}/queue.fal.run/me/echo", json=body) as answer:
                    await answer.read()

        await asyncio.gather(*(one(worker) for worker in range(5)))


if __name__ == "__main__":
    asyncio.run(submit_until_killed(*sys.argv[1:]))
