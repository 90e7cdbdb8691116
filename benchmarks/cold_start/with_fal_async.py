"""A script that makes one direct call, with fal_async; the key is in FAL_KEY."""

import asyncio
import sys
import time

from fal_async import Session
from fal_async.config import Hosts


async def main(url: str) -> float:
    async with Session(hosts=Hosts.local(url)) as fal:
        await fal.run("bench/job", {"prompt": "a cat"})
        return time.monotonic()


print(asyncio.run(main(sys.argv[1])))
