"""One measurement in a fresh process: `python -m benchmarks.harness.worker URL LOAD` (JSON) prints what came out.

Linux: CPU and memory come from getrusage and /proc/self. Everything around the calls (a task per call in
flight, two clock readings) is the same for every client and included in its figures.
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
    """What the calls gave. `delays`: seconds from completion on the server to the return of the call."""

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
                # What a client raises is a figure here: it is counted by its name.
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
    """The server's counts, on one connection that is open from first to last and is subtracted."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"))

    def report(self) -> dict[str, Any]:
        # The emulator answers there too: to it, this is an endpoint.
        self._connection.request("POST", "/fal.run/bench/report", b"{}")
        report: dict[str, Any] = json.loads(self._connection.getresponse().read())
        return report

    def close(self) -> None:
        self._connection.close()


def _difference(before: dict[str, Any], after: dict[str, Any], wall: float) -> dict[str, Any]:
    """Connections are counted from the start, warm-up included: a kept one serves what is measured."""
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
    """The longest time, in seconds, for which the event loop did not come round; watching is not for free."""

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
    """At most `SAMPLES` of them, evenly by rank, the largest always: enough for a 99th percentile."""
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
