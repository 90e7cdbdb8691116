"""`python -m tests.durability.prove [--items N] [--kills N] [--seeds A,B,C] [--workers N]`: each item is paid once.

With `--ray`, the items are rows of a Ray dataset, and Ray's actors are killed in place of the program.

A batch with downloads runs against an emulator in a separate process, with random faults. It gets SIGKILL at random
moments, and is started again with the same command. At the end the server's jobs, the ledger and the files are
compared. Items that are still uncertain wait until fal's history is up to date, which takes most of the time.

With `--workers`, that many processes make all calls on one ledger in PostgreSQL, which is restarted once.
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
from typing import Any

from fal_async.emulator import Emulator
from tests.durability.client import Plan
from tests.durability.fleet import Fleet
from tests.durability.pictures import serve_pictures
from tests.durability.random_kills import Account, faults_at, prove, prove_on_ray
from tests.testbed.postgres import cluster


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
            began, way = (
                time.perf_counter(),
                _fleet if options.workers else _on_ray if options.ray else _batch,
            )
            async with server(Path(name) / "cdn") as url:
                await faults_at(url, seed)
                account = await way(options, url, Path(name), seed)
            print(f"seed {seed}: {account}; {time.perf_counter() - began:.0f} s", flush=True)
            for line in (*account.stories, *account.wrong[:20]):
                print(f"  {line}")
            failed += bool(account.wrong)
    return 1 if failed else 0


def _plan(options: argparse.Namespace, ledger: str, **other: Any) -> Plan:
    return Plan(ledger=ledger, count=options.items, uncertain="resubmit", at_once=options.at_once, **other)


async def _batch(options: argparse.Namespace, url: str, folder: Path, seed: int) -> Account:
    plan = _plan(options, str(folder / "runs.db"), download=str(folder / "out"))
    return await prove(url, plan, kills=options.kills, dice=random.Random(seed), patience=options.patience)


async def _on_ray(options: argparse.Namespace, url: str, _: Path, __: int) -> Account:
    with cluster(durable=True) as database:
        plan = _plan(options, database.new_database(), way="ray", actor_kills=options.kills)
        return await prove_on_ray(url, plan, patience=options.patience)


async def _fleet(options: argparse.Namespace, url: str, _: Path, seed: int) -> Account:
    with cluster(durable=True) as database:
        plan = _plan(options, database.new_database(), way="subscribe")
        fleet = Fleet(
            url=url,
            plan=plan,
            server=database,
            dice=random.Random(seed),
            workers=options.workers,
            kills=options.kills,
        )
        return await fleet.prove(options.patience)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.durability.prove", description=__doc__)
    parser.add_argument("--items", type=int, default=20_000, help="default: %(default)s")
    parser.add_argument("--kills", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=0, help="processes on one PostgreSQL ledger")
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
