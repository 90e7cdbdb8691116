"""fal's Python client against an emulator: `python python_client.py http://127.0.0.1:PORT`, FAL_KEY set."""

import asyncio
import json
import sys

import fal_client.client as client

base = sys.argv[1]
# The client's URLs are constants with https, so they are replaced here; the rest is unchanged.
client.RUN_URL_FORMAT = f"{base}/fal.run/"
client.REST_URL = f"{base}/rest.fal.ai"
client.REALTIME_URL_FORMAT = f"{base.replace('http', 'ws', 1)}/fal.run/"


async def main() -> None:
    fal = client.AsyncClient()
    events = [event async for event in fal.stream("fal-ai/any-llm", {"prompt": "the sea"})]
    async with fal.realtime("fal-ai/fast-lcm-diffusion") as connection:
        await connection.send({"prompt": "a cat", "seed": 1, "size": 64})
        picture = await connection.recv()
    print(
        json.dumps(
            {
                "events": len(events),
                "last": events[-1],
                "png": picture["images"][0]["content"][:4].hex(),
            }
        )
    )


asyncio.run(main())
