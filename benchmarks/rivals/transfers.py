"""One upload or download of a large file with each measured client.

`python -m benchmarks.rivals.transfers NAME URL WHAT` uploads the file WHAT to the emulator at URL, or downloads the
file at the URL WHAT. It prints the seconds, the CPU seconds of this process, the growth of its memory after the
imports in bytes, and the outcome: the URL of the uploaded file, or the digest of the downloaded one.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import os
import pkgutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.harness.memory import PeakMemory
from benchmarks.rivals import KEY

PART, PARALLEL = 10 * 1024 * 1024, 8


async def ours_up(url: str, path: str) -> str:
    from fal_async import Hosts, Session

    async with Session(KEY, hosts=Hosts.local(url)) as fal:
        return await fal.storage.upload(path, parallel=PARALLEL, part_size=PART)


async def ours_up_resumable(url: str, path: str) -> str:
    from fal_async import Hosts, Session

    async with Session(KEY, hosts=Hosts.local(url)) as fal:
        return await fal.storage.upload(path, resume=path + ".resume", parallel=PARALLEL, part_size=PART)


async def ours_down(url: str, file_url: str) -> str:
    from fal_async import Hosts, Session

    with tempfile.TemporaryDirectory() as folder:
        async with Session(KEY, hosts=Hosts.local(url)) as fal:
            path = await fal.storage.download(file_url, Path(folder) / "file")
        return digest_of(path)


async def aiohttp_up(url: str, path: str) -> str:
    """Upload by hand-written code: the same parts and concurrency, each part read as a whole in a thread."""
    import aiohttp

    async with aiohttp.ClientSession() as http:
        grant_url = f"{url}/rest.fal.ai/storage/auth/token?storage_type=fal-cdn-v3"
        async with http.post(grant_url, json={}, headers={"Authorization": f"Key {KEY}"}) as response:
            grant = await response.json()
        headers = {"Authorization": f"{grant['token_type']} {grant['token']}", "Accept-Encoding": "identity"}
        begin_url = f"{grant['base_url']}/files/upload/multipart"
        async with http.post(begin_url, headers={**headers, "X-Fal-File-Name": "big.bin"}) as response:
            begun = await response.json()
        base = f"{begun['access_url']}/multipart/{begun['uploadId']}"
        limit, etags = asyncio.Semaphore(PARALLEL), {}

        async def send(number: int) -> None:
            async with limit:
                data = await asyncio.to_thread(read_part, path, number)
                async with http.put(f"{base}/{number}", data=data, headers=headers) as response:
                    response.raise_for_status()
                    etags[number] = response.headers["ETag"]

        count = -(-(await asyncio.to_thread(os.path.getsize, path)) // PART)
        await asyncio.gather(*(send(number) for number in range(1, count + 1)))
        parts = [{"partNumber": number, "etag": etags[number]} for number in sorted(etags)]
        async with http.post(f"{base}/complete", json={"parts": parts}, headers=headers) as response:
            response.raise_for_status()
    return str(begun["access_url"])


def read_part(path: str, number: int) -> bytes:
    with open(path, "rb") as file:
        file.seek((number - 1) * PART)
        return file.read(PART)


async def aiohttp_down(_: str, file_url: str) -> str:
    import aiohttp

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        async with aiohttp.ClientSession() as http, http.get(file_url) as response:
            with path.open("wb") as file:
                async for chunk in response.content.iter_chunked(512 * 1024):
                    await asyncio.to_thread(file.write, chunk)
        return digest_of(path)


async def official_up(url: str, path: str) -> str:
    """Upload with fal-client, whose hosts are constants without a setting, so they are replaced. FAL_KEY is set."""
    import fal_client.client as official

    official.REST_URL, official.CDN_URL = f"{url}/rest.fal.ai", f"{url}/v3.fal.media"
    return str(await official.AsyncClient().upload_file(Path(path)))


TRANSFERS: dict[str, Callable[[str, str], Awaitable[str]]] = {
    "fal_async up": ours_up,
    "fal_async up, resume=": ours_up_resumable,
    "fal_async down": ours_down,
    "aiohttp by hand up": aiohttp_up,
    "aiohttp by hand down": aiohttp_down,
    "fal-client up": official_up,
}


async def measured(name: str, url: str, what: str) -> dict[str, Any]:
    _import_clients()
    memory = PeakMemory()
    in_use, began, cpu = memory.reset(), time.monotonic(), time.process_time()
    outcome = await TRANSFERS[name](url, what)
    return {
        "seconds": time.monotonic() - began,
        "cpu": time.process_time() - cpu,
        "growth": memory.peak() - in_use,
        "outcome": outcome,
    }


def _import_clients() -> None:
    """Import all clients, also the modules that ours imports with its first transfer: imports do not count here."""
    if importlib.util.find_spec("fal_client"):
        importlib.import_module("fal_client.client")
    for name in ("fal_async.session", "fal_async.storage", "fal_async.transport"):
        folder = importlib.import_module(name)
        for module in pkgutil.iter_modules(folder.__path__, f"{name}."):
            importlib.import_module(module.name)


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measured(*sys.argv[1:]))))
