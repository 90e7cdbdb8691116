"""`python -m tests.guarantees.soak [--count N] [--seeds A,B,C]`: is every request accounted for?

Thousands of calls go to an emulator in a separate process, with random faults and two restarts. At the end every
job must belong to a call, and no task or socket may be left in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fal_async.emulator import Emulator
from fal_async.emulator.defaults import KEEP_JOBS
from fal_async.emulator.serve import serve
from tests.guarantees.soak_run import echo_at, soak

_KEY = "soak:key"
_GROWTH = 32.0
"""MiB that the process may grow by after the end of its first run."""


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    """Run the emulator in a separate process, and yield its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.guarantees.soak", "--serve", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        words = (await process.stdout.readline()).decode().split()
        yield words[words.index("at") + 1]
    finally:
        process.terminate()
        await process.communicate()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def memory() -> float:
    """Return the MiB in use now; on systems that don't report it, the peak."""
    gc.collect()
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def main(seeds: list[int], count: int, at_once: int) -> int:
    failed = 0
    sizes: list[float] = []
    for seed in seeds:
        async with server() as url:
            files, began = open_files(), time.perf_counter()
            account = await soak(url, _KEY, seed=seed, count=count, at_once=at_once)
            seconds, tasks = time.perf_counter() - began, len(asyncio.all_tasks()) - 1
            left = open_files() - files
        sizes.append(memory())
        left_over = f"{tasks} tasks and {left} sockets left over"
        print(f"seed {seed}: {account}; {left_over}; {sizes[-1]:.0f} MiB; {seconds:.0f} s", flush=True)
        for violation in account.violations[:20]:
            print(f"  {violation}")
        failed += bool(account.violations or tasks or left)
    if sizes[-1] - sizes[0] > _GROWTH:
        print(f"the process grew from {sizes[0]:.0f} to {sizes[-1]:.0f} MiB")
        failed += 1
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.guarantees.soak", description=__doc__)
    parser.add_argument("--count", type=int, default=3000, help="calls for each seed (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=200, help="calls in flight (default: %(default)s)")
    parser.add_argument("--seeds", default="1,2,3", help="default: %(default)s")
    parser.add_argument("--serve", action="store_true", help="run the server")
    return parser.parse_args()


if __name__ == "__main__":
    options = _options()
    if options.serve:
        served = Emulator(key=_KEY, record=False, keep_jobs=KEEP_JOBS)
        echo_at(served)
        asyncio.run(serve(served))
        sys.exit()
    logging.getLogger("fal_async").setLevel(logging.ERROR)  # the faults cause thousands of warnings
    sys.exit(
        asyncio.run(main([int(seed) for seed in options.seeds.split(",")], options.count, options.at_once))
    )
