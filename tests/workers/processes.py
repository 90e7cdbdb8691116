"""Worker processes behind one port, and callers that come again with the same key if their worker is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs

from fal_async.emulator import Emulator
from fal_async.ledger.opening import Where
from fal_async.queue.webhook_subscription import SLOW_POLL

ROOT = Path(__file__).resolve().parents[2]
MODEL = "fal-ai/flux/schnell"
_PAUSE = 0.05
"""Seconds until a caller comes again."""


@attrs.define(kw_only=True, eq=False)
class Workers:
    """The processes, by their pid. They share the socket."""

    listening: socket.socket
    variables: dict[str, str]
    running: dict[int, asyncio.subprocess.Process] = attrs.field(factory=dict)

    @property
    def url(self) -> str:
        host, port = self.listening.getsockname()
        return f"http://{host}:{port}"

    async def start(self, count: int = 1) -> None:
        """Start workers, and wait until they accept connections."""
        await asyncio.gather(*(self._start() for _ in range(count)))

    async def _start(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.workers.serve", str(self.listening.fileno())),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **self.variables},
            pass_fds=[self.listening.fileno()],
            stdout=asyncio.subprocess.PIPE,
        )
        self.running[process.pid] = process
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n", "the worker did not start"

    async def kill(self, pid: int) -> None:
        """Kill a worker with SIGKILL, as the kernel does if memory is exhausted."""
        process = self.running.pop(pid)
        process.kill()
        assert await process.wait() == -signal.SIGKILL

    async def stop(self) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                await asyncio.wait_for(process.wait(), 20)
            except TimeoutError:
                process.kill()
                await process.wait()


@asynccontextmanager
async def working(emulator: Emulator, ledger: Where, count: int) -> AsyncIterator[Workers]:
    """Run this number of workers."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        workers = Workers(listening=listening, variables={})
        workers.variables |= {
            "FAL_BASE_URL": emulator.url,
            "FAL_KEY": emulator.key,
            "LEDGER": str(ledger),
            "PUBLIC_URL": workers.url,
        }
        try:
            await workers.start(count)
            yield workers
        finally:
            await workers.stop()


@attrs.define(kw_only=True, eq=False)
class Callers:
    """Callers of the application, one for each key.

    Attributes:
        results: the results, by the number of the caller.
        broken: how many requests of callers have broken, because their worker was killed.
        refused: the error responses that callers got before they came again, by status.
        allowed_polls: how many status polls the safety net may have sent meanwhile.
        seconds: how long each caller has waited in total.
    """

    http: aiohttp.ClientSession
    results: dict[int, Any] = attrs.field(factory=dict)
    broken: int = 0
    refused: Counter[int] = attrs.field(factory=Counter)
    allowed_polls: int = 0
    seconds: list[float] = attrs.field(factory=list)

    async def call(self, n: int) -> None:
        """Ask for a picture until there is one."""
        began = time.monotonic()
        while n not in self.results:
            started = time.monotonic()
            await self._ask(n)
            self.allowed_polls += int((time.monotonic() - started) // SLOW_POLL)
            await asyncio.sleep(0 if n in self.results else _PAUSE)
        self.seconds.append(time.monotonic() - began)

    async def _ask(self, n: int) -> None:
        headers = {"Idempotency-Key": f"order-{n}"}
        try:
            async with self.http.post("/pictures", json={"n": n}, headers=headers) as answer:
                if answer.status == 200:
                    self.results[n] = await answer.json()
                else:
                    self.refused[answer.status] += 1
        except aiohttp.ClientError:
            self.broken += 1


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[Callers]:
    """Make callers. Each request has its own connection, so that the workers share them."""
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with aiohttp.ClientSession(
        url, connector=connector, timeout=aiohttp.ClientTimeout(total=None)
    ) as http:
        yield Callers(http=http)


def wrong(emulator: Emulator, callers: Callers, calls: int) -> list[str]:
    """Return what is wrong at the end: each caller has its own result, and each key was accepted once."""
    found = [f"no. {n}: {callers.results.get(n)}" for n in range(calls) if callers.results.get(n) != {"n": n}]
    accepted = Counter(job.input["n"] for job in emulator.jobs.values())
    found += [f"no. {n}: accepted {accepted[n]} times" for n in range(calls) if accepted[n] != 1]
    polls = emulator.count("status")
    if polls > callers.allowed_polls:
        found.append(f"{polls} status polls, {callers.allowed_polls} are the safety net's")
    return found
