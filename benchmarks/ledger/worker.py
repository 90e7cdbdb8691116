"""One measurement in a fresh process: `python -m benchmarks.ledger.worker URL JOB` (JSON) prints its cost.

Every way makes the same instant calls to the same endpoint, each with a different input, `at_once` at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

import fal_async
from benchmarks.harness.cpu import cpu_seconds
from benchmarks.harness.memory import PeakMemory
from benchmarks.rivals import KEY
from fal_async.config import Hosts

ENDPOINT = "bench/job"
WARM_UP = 200


@attrs.frozen(kw_only=True)
class Job:
    """What to measure.

    Attributes:
        way: a name of `WAYS`.
        total: number of calls.
        at_once: number of concurrent calls.
        folder: folder of the ledger; each process has its own file in it.
        core: the only core that this process may use; None: any core.
        database: the URL of the ledger, which several processes share; None: it is a file.
        first: the number of the first call, from which the keys are made.
    """

    way: str
    total: int
    at_once: int
    folder: str
    core: int | None = None
    database: str | None = None
    first: int = 0


def inputs(start: int, count: int) -> Iterator[dict[str, Any]]:
    """Generate the inputs lazily, so that memory that grows with their number belongs to the client."""
    return ({"prompt": "a cat", "seed": number} for number in range(start, start + count))


async def subscribe(fal: fal_async.Session, start: int, job: Job) -> int:
    """Call without keys."""
    return await _by_workers(job, start, lambda _, input: fal.subscribe(ENDPOINT, input))


async def keyed(fal: fal_async.Session, start: int, job: Job) -> int:
    """Call with a key for each call. The second time, these are replays."""
    return await _by_workers(job, start, lambda n, input: fal.subscribe(ENDPOINT, input, key=f"order-{n}"))


async def mapped(fal: fal_async.Session, start: int, job: Job) -> int:
    """Make the calls as a batch, with a ledger if the session has one."""
    done = 0
    kept: dict[str, Any] = {"extend": True} if WAYS[job.way].ledger else {}
    async with fal.map(ENDPOINT, inputs(start, job.total), concurrency=job.at_once, **kept) as batch:
        async for item in batch:
            done += item.ok
    return done


async def _by_workers(job: Job, start: int, call: Any) -> int:
    numbered = iter(enumerate(inputs(start, job.total), start))
    done = 0

    async def one_after_another() -> None:
        nonlocal done
        for number, input in numbered:
            await call(number, input)
            done += 1

    await asyncio.gather(*(one_after_another() for _ in range(job.at_once)))
    return done


@attrs.frozen
class Way:
    calls: Any
    ledger: bool
    again: bool = False
    """Measured the second time, when everything is in the ledger."""


WAYS = {
    "subscribe": Way(subscribe, ledger=False),
    "map": Way(mapped, ledger=False),
    "subscribe, key": Way(keyed, ledger=True),
    "map, ledger": Way(mapped, ledger=True),
    "subscribe, key, again": Way(keyed, ledger=True, again=True),
    "map, ledger, again": Way(mapped, ledger=True, again=True),
}


async def measure(url: str, job: Job) -> dict[str, Any]:
    way, memory = WAYS[job.way], PeakMemory()
    path = Path(job.folder) / f"{os.getpid()}.db"
    ledger = (job.database or path) if way.ledger else None
    async with fal_async.Session(KEY, hosts=Hosts.local(url), ledger=ledger) as fal:
        await way.calls(
            fal, job.first - WARM_UP, attrs.evolve(job, total=WARM_UP, at_once=min(WARM_UP, job.at_once))
        )
        if way.again:
            await way.calls(fal, job.first, job)
        gc.collect()
        before, cpu, started = memory.reset(), cpu_seconds(), time.monotonic()
        done = await way.calls(fal, job.first, job)
        figures = {
            "wall": time.monotonic() - started,
            "cpu": cpu_seconds() - cpu,
            "memory": memory.peak() - before,
        }
    with contextlib.suppress(FileNotFoundError):
        figures["file"] = path.stat().st_size
    return {**attrs.asdict(job), "done": done, **figures}


def main() -> None:
    url, text = sys.argv[1:]
    job = Job(**json.loads(text))
    if job.core is not None:
        os.sched_setaffinity(0, {job.core})
    print(json.dumps(asyncio.run(measure(url, job))))


if __name__ == "__main__":
    main()
