"""Calls fal by its own names, with the libraries that resolve names or connect in other ways than `socket`."""

import asyncio
import os
import subprocess
import sys

import aiohttp
import httpx
import requests
import trio
import uvloop
import websockets

KEY = {"Authorization": "Key " + os.environ["FAL_KEY"]}
CALL = ("https://fal.run/fal-ai/any-llm", {"prompt": "x"})
SOCKET = "wss://fal.run/fal-ai/fast-lcm-diffusion/realtime"
GEVENT = """
from gevent import monkey
monkey.patch_all()
import os, requests
key = {"Authorization": "Key " + os.environ["FAL_KEY"]}
print("gevent", requests.post("https://fal.run/fal-ai/any-llm", json={"prompt": "x"}, headers=key).status_code)
"""


async def main(loop: str) -> None:
    for resolver in (aiohttp.AsyncResolver(), aiohttp.ThreadedResolver()):
        connector = aiohttp.TCPConnector(resolver=resolver)
        async with (
            aiohttp.ClientSession(headers=KEY, connector=connector) as http,
            http.post(CALL[0], json=CALL[1]) as answer,
        ):
            print(loop, type(resolver).__name__, answer.status)
    async with httpx.AsyncClient(headers=KEY) as http:
        print(loop, "httpx", (await http.post(CALL[0], json=CALL[1])).status_code)
    async with websockets.connect(SOCKET, additional_headers=KEY):
        print(loop, "websockets", 101)


async def with_trio() -> None:
    async with httpx.AsyncClient(headers=KEY) as http:
        print("trio", (await http.post(CALL[0], json=CALL[1])).status_code)


if __name__ == "__main__":
    print("requests", requests.post(CALL[0], json=CALL[1], headers=KEY).status_code)
    asyncio.run(main("asyncio"))
    uvloop.run(main("uvloop"))
    trio.run(with_trio)
    sys.stdout.flush()
    subprocess.run([sys.executable, "-c", GEVENT], check=True)
