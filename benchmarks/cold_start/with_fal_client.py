"""A script that makes one direct call, with fal-client; the key is in FAL_KEY."""

import asyncio
import sys
import time

import fal_client
import fal_client.client


async def main(url: str) -> float:
    fal_client.client.RUN_URL_FORMAT = f"{url}/fal.run/"
    await fal_client.AsyncClient().run("bench/job", {"prompt": "a cat"})
    return time.monotonic()


print(asyncio.run(main(sys.argv[1])))
