"""One measurement in a fresh process: `python -m benchmarks.harness.worker URL LOAD` (JSON) prints the result.

Linux only: CPU and memory come from getrusage and /proc/self. The overhead around the calls (a task per running
call, two clock readings) is the same for every client, and included in its figures.
"""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import resource
import sys
import time
from collections import Counter
from typing import Any, Self

import attrs

from benchmarks.harness.cpu import cpu_seconds
from benchmarks.harness.load import Load
from benchmarks.harness.memory import PeakMemory
from benchmarks.rivals import Rival, open_rival

SAMPLES = 200


@attrs.define
class Outcome:
    """The outcome of the calls. `delays`: seconds from completion on the server to the return of the call."""

    delays: list[float] = attrs.field(factory=list)
    errors: Counter[str] = attrs.field(factory=Counter)


async def measure(url: str, load: Load) -> dict[str, Any]:
    server, memory = ServerView(url), PeakMemory()
    async with open_rival(load.rival, url, load.mode) as rival:
        await _call(rival, attrs.evolve(load, seconds=0.0), "bench/warm-up")
        if load.taught:
            await _calls(rival, attrs.evolve(load, total=load.taught, at_once=load.taught, taught=0))
        gc.collect()
        server_before, memory_before = server.report(), memory.reset()
        cpu_before, started = cpu_seconds(), time.monotonic()
        async with _Ticker(load.megabytes > 0) as ticker:
            outcome = await _calls(rival, load)
        wall, cpu, grown = (
            time.monotonic() - started,
            cpu_seconds() - cpu_before,
            memory.peak() - memory_before,
        )
        server_after = server.report()
    return {
        "load": attrs.asdict(load),
        "finished": len(outcome.delays),
        "errors": dict(outcome.errors),
        "wall": wall,
        "cpu": cpu,
        "memory": grown,
        "stall": ticker.longest,
        "delays": _thinned(sorted(outcome.delays)),
        "server": _difference(server_before, server_after, wall),
    }


async def _calls(rival: Rival, load: Load) -> Outcome:
    outcome = Outcome()
    todo = iter(range(load.total))

    async def one_after_another(number: int) -> None:
        await asyncio.sleep(load.spread * number / load.at_once)
        for index in todo:
            try:
                data = await _call(rival, load, load.endpoint_id(index))
            except Exception as error:
                # Errors of a client are a figure here, and counted by their name.
                outcome.errors[type(error).__name__] += 1
            else:
                outcome.delays.append(time.monotonic() - data["completed_at"])

    try:
        async with asyncio.timeout(load.give_up):
            await asyncio.gather(*(one_after_another(number) for number in range(load.at_once)))
    except TimeoutError:
        outcome.errors["unfinished"] = load.total - len(outcome.delays) - outcome.errors.total()
    return outcome


async def _call(rival: Rival, load: Load, endpoint_id: str) -> Any:
    call = rival.run if load.call == "run" else rival.subscribe
    return await call(endpoint_id, load.input)


class ServerView:
    """Reads the server's counts, on one connection that stays open and is subtracted from them."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"))

    def report(self) -> dict[str, Any]:
        # The emulator answers at this path, too: there it is an endpoint.
        self._connection.request("POST", "/fal.run/bench/report", b"{}")
        report: dict[str, Any] = json.loads(self._connection.getresponse().read())
        return report

    def close(self) -> None:
        self._connection.close()


def _difference(before: dict[str, Any], after: dict[str, Any], wall: float) -> dict[str, Any]:
    """Return the difference of two reports.

    Connections are counted from the start, including the warm-up, as a kept one serves the measured calls.
    """
    requests = Counter(after["requests"]) - Counter(before["requests"])
    cpu = after["cpu_seconds"] - before["cpu_seconds"]
    return {
        "requests": dict(requests),
        "submissions": after["submissions"] - before["submissions"],
        "connections": after["connections"] - 1,
        "most_connections": after["most_connections"] - 1,
        "cpu": cpu,
        "cpu_share": cpu / wall,
    }


class _Ticker:
    """Measures the longest time, in seconds, for which the event loop was blocked, which costs some CPU."""

    def __init__(self, watch: bool) -> None:
        self.longest = 0.0
        self._watch = watch
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._watch:
            self._task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _tick(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now


def _thinned(ranked: list[float]) -> list[float]:
    """Return at most `SAMPLES` delays, evenly by rank and with the largest: enough for a 99th percentile."""
    step = max(1, -(-len(ranked) // SAMPLES))
    return [round(delay, 5) for delay in ranked[::-step][::-1]]


def main() -> None:
    url, text = sys.argv[1:]
    load = Load(**json.loads(text))
    if load.open_files is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (load.open_files, hard))
    print(json.dumps(asyncio.run(measure(url, load))))


if __name__ == "__main__":
    main()
