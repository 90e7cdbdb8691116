"""A plain aiohttp caller that knows only fal's paths, so that the emulator is tested without our client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import attrs

from fal_async.emulator import Emulator


@attrs.frozen
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes
    data: Any
    """The body as JSON; None if it is not JSON."""


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


@attrs.frozen
class Caller:
    emulator: Emulator
    http: aiohttp.ClientSession

    async def call(self, method: str, path: str, **options: Any) -> Reply:
        """Send a request to a path of the emulator, or to a whole URL from an answer."""
        url = path if "://" in path else self.emulator.url + path
        options.setdefault("headers", {"Authorization": f"Key {self.emulator.key}"})
        async with self.http.request(method, url, allow_redirects=False, **options) as response:
            body = await response.read()
            return Reply(response.status, response.headers, body, _document(body))

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.call("GET", path, **options)

    async def run(self, endpoint_id: str, input: Any, **options: Any) -> Reply:
        return await self.call("POST", f"/fal.run/{endpoint_id}", json=input, **options)

    async def submit(self, endpoint_id: str, input: Any = None, **options: Any) -> Reply:
        return await self.call("POST", f"/queue.fal.run/{endpoint_id}", json=input or {}, **options)

    async def status(self, submitted: Reply, logs: str | None = None) -> Reply:
        query = {} if logs is None else {"logs": logs}
        return await self.get(submitted.data["status_url"], params=query)

    async def result(self, submitted: Reply) -> Reply:
        return await self.get(submitted.data["response_url"])

    async def cancel(self, submitted: Reply) -> Reply:
        return await self.call("PUT", submitted.data["cancel_url"])

    async def reached(self, submitted: Reply, state: str) -> str:
        return await self.emulator.jobs[submitted.data["request_id"]].wait_for(state, timeout=5)

    async def finished(self, submitted: Reply) -> Reply:
        """Wait until the request is complete, and return its status."""
        await self.reached(submitted, "COMPLETED")
        return await self.status(submitted, logs="1")

    def with_headers(self, **headers: str) -> dict[str, str]:
        """Return the key's header and these; underscores in names become hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return {"Authorization": f"Key {self.emulator.key}", **named}


@asynccontextmanager
async def calling(emulator: Emulator) -> AsyncIterator[Caller]:
    """Start an emulator, and yield a caller of it."""
    async with emulator, aiohttp.ClientSession() as http:
        yield Caller(emulator, http)


async def lines_of(response: aiohttp.ClientResponse) -> AsyncGenerator[str, None]:
    async for line in response.content:
        if text := line.decode().rstrip("\n"):
            yield text


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition without an event, such as the server noticing a closed socket."""
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0)
