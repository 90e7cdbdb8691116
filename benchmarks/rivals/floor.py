"""The floor: submit, poll and result, written by hand on bare aiohttp, with only what is needed here.

No retries, no error mapping, no URL checks, no typed values. One session with its defaults: a pool of 100
connections and its time limits. It polls immediately after the submit and then every half second, like fal's JS
client.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from benchmarks.rivals import KEY, Input

POLL_INTERVAL = 0.5
"""Seconds, as in fal's JS client."""


class Floor:
    def __init__(self, url: str, session: aiohttp.ClientSession, mode: str) -> None:
        self._url, self._session = url, session
        self._wait = self._listen if mode == "streaming" else self._poll

    async def run(self, endpoint_id: str, input: Input) -> Any:
        async with self._session.post(f"{self._url}/fal.run/{endpoint_id}", json=input) as response:
            response.raise_for_status()
            return await response.json()

    async def subscribe(self, endpoint_id: str, input: Input) -> Any:
        url = f"{self._url}/queue.fal.run/{endpoint_id}"
        async with self._session.post(url, json=input) as response:
            response.raise_for_status()
            submitted = await response.json()
        await self._wait(submitted["status_url"])
        return await self._get(submitted["response_url"])

    async def _poll(self, status_url: str) -> None:
        while True:
            status = await self._get(status_url)
            if status["status"] == "COMPLETED":
                return
            await asyncio.sleep(POLL_INTERVAL)

    async def _listen(self, status_url: str) -> None:
        async with self._session.get(f"{status_url}/stream") as response:
            response.raise_for_status()
            async for line in response.content:
                if line.startswith(b"data:") and json.loads(line[5:])["status"] == "COMPLETED":
                    return

    async def _get(self, url: str) -> Any:
        async with self._session.get(url) as response:
            response.raise_for_status()
            return await response.json()


@asynccontextmanager
async def open_rival(url: str, mode: str) -> AsyncIterator[Floor]:
    # A stream uses its connection until the job is done: a pool of 100 would run only 100 jobs at a time.
    pool = aiohttp.TCPConnector(limit=0 if mode == "streaming" else 100)
    headers = {"Authorization": f"Key {KEY}"}
    async with aiohttp.ClientSession(connector=pool, headers=headers) as session:
        yield Floor(url, session, mode)
