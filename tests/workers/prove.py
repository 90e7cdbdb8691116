"""`python -m tests.workers.prove [--workers N] [--calls N] [--kills N] [--ledger PATH|URL]`: one bill for each key.

The application of `fal_async/webhooks/README.md` runs in several worker processes behind one port. All calls come
at once. Workers get SIGKILL at random moments, and their callers come again with the same keys. Some submits lose
their response after fal has accepted them. At the end the emulator's account is compared with the results.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import attrs

from fal_async.emulator import Emulator, Fault
from tests.workers.processes import MODEL, Workers, calling, working, wrong


async def kill_now_and_then(workers: Workers, emulator: Emulator, options: argparse.Namespace) -> None:
    """Kill random workers while submits arrive, and start another one in place of each."""
    dice = random.Random(options.seed)
    for accepted in sorted(dice.randrange(options.calls) for _ in range(options.kills)):
        while len(emulator.jobs) <= accepted:
            await asyncio.sleep(0.005)
        await workers.kill(dice.choice(list(workers.running)))
        await workers.start()


async def main(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="fal-workers-") as folder:
        emulator = Emulator(keep_jobs=10**6)

        @emulator.endpoint(MODEL, runners=10_000)
        async def paint(input: dict[str, int]) -> dict[str, int]:
            await asyncio.sleep(options.seconds)
            return input

        lost = Fault.reset(on="submit", taken=True)
        emulator.faults.seed(options.seed)
        emulator.faults.add(attrs.evolve(lost, chance=options.lost, times=None))
        async with (
            emulator,
            working(emulator, options.ledger or Path(folder) / "runs.db", options.workers) as workers,
            calling(workers.url) as callers,
        ):
            began = time.perf_counter()
            async with asyncio.timeout(options.limit), asyncio.TaskGroup() as group:
                for n in range(options.calls):
                    group.create_task(callers.call(n))
                group.create_task(kill_now_and_then(workers, emulator, options))
            took = time.perf_counter() - began
        found = wrong(emulator, callers, options.calls)
        counts = {
            kind: emulator.count(kind) for kind in ("submit", "status", "result", "platform", "key_set")
        }
    print(
        f"{options.calls} calls, {options.workers} workers, {options.kills} kills, "
        f"{emulator.faults.struck} lost responses: {took:.1f} s, {len(callers.results)} results, "
        f"half of them within {statistics.median(callers.seconds):.1f} s; "
        f"{callers.broken} callers came again, {callers.refused.total()} were refused "
        f"{dict(callers.refused)}; HTTP requests to fal: {counts}; {len(found)} wrong"
    )
    for line in found[:20]:
        print(f"  {line}")
    return 1 if found else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.workers.prove", description=__doc__)
    parser.add_argument("--workers", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--calls", type=int, default=400, help="default: %(default)s")
    parser.add_argument("--kills", type=int, default=2, help="default: %(default)s")
    parser.add_argument(
        "--lost", type=float, default=0.02, help="share of lost responses to submits (%(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=2, help="how long a request runs (default: %(default)s)"
    )
    parser.add_argument("--ledger", help="a path or a postgresql:// URL (default: a temporary file)")
    parser.add_argument("--limit", type=float, default=900, help="seconds (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(_options())))
