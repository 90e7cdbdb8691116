"""A script that makes one direct call, on bare aiohttp."""

import asyncio
import sys
import time

import aiohttp


async def main(url: str) -> float:
    async with (
        aiohttp.ClientSession(headers={"Authorization": "Key bench:key"}) as session,
        session.post(f"{url}/fal.run/bench/job", json={"prompt": "a cat"}) as response,
    ):
        response.raise_for_status()
        await response.json()
        return time.monotonic()


print(asyncio.run(main(sys.argv[1])))
