"""`python -m tests.durability.prove [--items N] [--kills N] [--seeds A,B,C]` proves that each item is paid once.

With `--ray`, the items are rows of a Ray dataset, and Ray's actors are killed in place of the program.

A batch with downloads runs against an emulator in a separate process, with random faults. It gets SIGKILL at random
moments, and is started again with the same command. At the end the server's jobs, the ledger and the files are
compared. Items that are still uncertain wait until fal's history is up to date, which takes most of the time.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from fal_async.emulator import Emulator
from tests.durability.client import Plan
from tests.durability.pictures import serve_pictures
from tests.durability.random_kills import faults_at, prove, prove_on_ray


@asynccontextmanager
async def server(folder: Path) -> AsyncIterator[str]:
    """Run the emulator in a separate process, and yield its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.durability.prove", "--serve", str(folder)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.stdin.close()
        await process.wait()


async def serve(folder: str) -> int:
    """Run an emulator until standard input is closed. Unlike `fal-async emulator`, it deletes no job."""
    emulator = Emulator(record=False, folder=folder, keep_jobs=10**7)
    serve_pictures(emulator)
    async with emulator:
        sys.stdout.write(f"{emulator.url}\n")
        sys.stdout.flush()
        stop = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
        await stop.wait()
    return 0


async def main(options: argparse.Namespace) -> int:
    failed = 0
    for seed in map(int, options.seeds.split(",")):
        with tempfile.TemporaryDirectory(prefix="fal-prove-", dir=options.folder) as name:
            folder, began = Path(name), time.perf_counter()
            plan = Plan(
                ledger=str(folder / "runs.db"),
                download=str(folder / "out"),
                count=options.items,
                uncertain="resubmit",
                at_once=options.at_once,
            )
            on_ray = attrs.evolve(plan, way="ray", download=None, actor_kills=options.kills)
            async with server(folder / "cdn") as url:
                await faults_at(url, seed)
                if options.ray:
                    account = await prove_on_ray(url, on_ray, patience=options.patience)
                else:
                    account = await prove(
                        url, plan, kills=options.kills, dice=random.Random(seed), patience=options.patience
                    )
            print(f"seed {seed}: {account}; {time.perf_counter() - began:.0f} s", flush=True)
            for line in (*account.stories, *account.wrong[:20]):
                print(f"  {line}")
            failed += bool(account.wrong)
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.durability.prove", description=__doc__)
    parser.add_argument("--items", type=int, default=20_000, help="default: %(default)s")
    parser.add_argument("--kills", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--seeds", default="1,2,3", help="default: %(default)s")
    parser.add_argument("--ray", action="store_true", help="map the items on two actors of Ray")
    parser.add_argument("--at-once", type=int, default=40, help="items in flight (default: %(default)s)")
    parser.add_argument(
        "--patience",
        type=float,
        default=150,
        help="seconds for fal's history to catch up (default: %(default)s)",
    )
    parser.add_argument("--folder", help="folder for the ledger and the files (default: a temporary one)")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    options = _options()
    sys.exit(asyncio.run(serve(options.serve) if options.serve else main(options)))
