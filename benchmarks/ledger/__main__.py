"""`python -m benchmarks.ledger [cpu] [rate] [memory] [postgres]`: measure keys and batches, print Markdown tables.

cpu: CPU per instant item, relative to plain `subscribe`, 40 at a time. rate: keyed calls per second of a client
that has one core for itself, with the server on another one. memory: the growth from 1,000 to 100,000 items.
postgres: keyed calls of one, two and four workers on one core that share a ledger on PostgreSQL, on the other one.
Every measurement is a separate process with its own load server. The ways take turns, and a ratio is the median
of the ratios within each round. The ledgers are in --folder, which should be on a real disk, as the seconds
depend on it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median
from typing import Any

import attrs

from benchmarks.harness import processes
from benchmarks.ledger.worker import WAYS, Job
from tests.testbed.postgres import cluster

BASE = "subscribe"
LIMIT = 1800.0
"""Seconds that one measurement may take."""
MIB = 2**20
Taken = dict[str, list[dict[str, Any]]]


def measure(job: Job, server_core: int | None = None) -> dict[str, Any]:
    with _on_core(server_core), processes.server() as url:
        command = ("-m", "benchmarks.ledger.worker", url, json.dumps(attrs.asdict(job)))
        figures: dict[str, Any] = processes.run_script(*command, limit=LIMIT)[2]
    if figures["done"] != job.total:
        raise RuntimeError(f"{job.way}: only {figures['done']} of {job.total} calls succeeded")
    return figures


@contextmanager
def _on_core(core: int | None) -> Iterator[None]:
    """Restrict processes that are started in this block to one core, unless they choose another one."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def take(ways: list[str], rounds: int, one: Callable[[str], dict[str, Any]]) -> Taken:
    """Measure all ways in each round, every other round backwards, so that drift of the machine cancels out."""
    taken: Taken = {way: [] for way in ways}
    for number in range(rounds):
        for way in reversed(ways) if number % 2 else ways:
            taken[way].append(one(way))
    return taken


def cpu(folder: str, rounds: int, total: int) -> str:
    def one(way: str) -> dict[str, Any]:
        return measure(Job(way=way, total=total, at_once=40, folder=folder))

    lines = [
        "| | CPU ms each | relative to plain subscribe | lowest, highest | wall ms each | bytes of file each |"
    ]
    lines.append("|---|---|---|---|---|---|")
    taken = take(list(WAYS), rounds, one)
    for way, figures in taken.items():
        pairs = zip(figures, taken[BASE], strict=True)
        ratios = sorted(mine["cpu"] / base["cpu"] for mine, base in pairs)
        cpu, wall = (median(each[name] for each in figures) * 1e3 / total for name in ("cpu", "wall"))
        size = median(each["file"] for each in figures) / total if "file" in figures[0] else 0
        spread = f"{ratios[0]:.2f}, {ratios[-1]:.2f}"
        lines.append(f"| {way} | {cpu:.2f} | {median(ratios):.2f} | {spread} | {wall:.2f} | {size:,.0f} |")
    return "\n".join([*lines, f"\n{rounds} rounds of {total:,} items, 40 at a time."])


def rate(folder: str, rounds: int, total: int) -> str:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("rate: needs at least two cores, one for the client and one for the server")

    def one(way: str) -> dict[str, Any]:
        return measure(Job(way=way, total=total, at_once=100, folder=folder, core=cores[0]), cores[1])

    lines = ["| | calls per second | use of its core |", "|---|---|---|"]
    for way, figures in take([BASE, "subscribe, key", "subscribe, key, again"], rounds, one).items():
        each = median(total / one["wall"] for one in figures)
        share = median(one["cpu"] / one["wall"] for one in figures)
        lines.append(f"| {way} | {each:,.0f} | {share:.0%} |")
    return "\n".join([*lines, f"\n{rounds} rounds of {total:,} calls, 100 at a time."])


def postgres(folder: str, rounds: int, total: int) -> str:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("postgres: needs at least two cores, one for the workers and one for the servers")

    def one(way: str) -> dict[str, Any]:
        name, _, workers = way.rpartition(" x ")
        kind, _, place = name.partition(", on ")
        return _shared(
            Job(way=kind, total=total, at_once=40, folder=folder, core=cores[0]),
            place,
            int(workers),
            cores[1],
        )

    ways = ["subscribe x 1", "subscribe, key, on a file x 1"]
    ways += [f"subscribe, key, on postgres x {workers}" for workers in (1, 2, 4)]
    taken = take(ways, rounds, one)
    lines = [
        "| | calls per second, all workers | calls per CPU second of a worker | relative to one worker |"
    ]
    lines.append("|---|---|---|---|")
    alone = [total / figures["cpu"] for figures in taken["subscribe, key, on postgres x 1"]]
    for way, figures in taken.items():
        each = [figure["calls"] / figure["cpu"] for figure in figures]
        whole = median(figure["calls"] / figure["wall"] for figure in figures)
        ratio = median(mine / base for mine, base in zip(each, alone, strict=True))
        lines.append(f"| {way} | {whole:,.0f} | {median(each):,.0f} | {ratio:.2f} |")
    return "\n".join([*lines, f"\n{rounds} rounds of {total:,} calls of each worker, 40 at a time."])


def _shared(job: Job, place: str, workers: int, server_core: int) -> dict[str, Any]:
    """Run several workers at the same time, on one ledger if it is a database."""
    with _on_core(server_core), contextlib.ExitStack() as stack:
        database = stack.enter_context(cluster(durable=True)).new_database() if place == "postgres" else None
        url = stack.enter_context(processes.server())
        jobs = [attrs.evolve(job, database=database, first=10**6 * (n + 1)) for n in range(workers)]

        def run(job: Job) -> dict[str, Any]:
            command = ("-m", "benchmarks.ledger.worker", url, json.dumps(attrs.asdict(job)))
            figures: dict[str, Any] = processes.run_script(*command, limit=LIMIT)[2]
            return figures

        with ThreadPoolExecutor(workers) as threads:
            figures = list(threads.map(run, jobs))
    if any(figure["done"] != job.total for figure in figures):
        raise RuntimeError(f"{job.way}: some calls failed: {figures}")
    return {
        "calls": job.total * workers,
        "wall": max(figure["wall"] for figure in figures),
        "cpu": sum(figure["cpu"] for figure in figures),
    }


def memory(folder: str, few: int, many: int) -> str:
    lines = [f"| | {few:,} items, MiB | {many:,} items, MiB | growth |", "|---|---|---|---|"]
    for way in (BASE, "map", "map, ledger", "map, ledger, again"):
        small, large = (
            measure(Job(way=way, total=total, at_once=40, folder=folder))["memory"] / MIB
            for total in (few, many)
        )
        lines.append(f"| {way} | {small:.1f} | {large:.1f} | {large - small:.1f} |")
    return "\n".join([*lines, "\nGrowth of the memory peak during the items, after a warm-up of 200 items."])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ledger", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", default=["cpu", "rate", "memory", "postgres"], help="cpu, rate, memory, postgres"
    )
    parser.add_argument("--quick", action="store_true", help="a twentieth of the items, one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="folder for the ledgers (default: a temporary one)")
    options = parser.parse_args()
    rounds, share = (1, 20) if options.quick else (options.rounds, 1)
    load = os.getloadavg()[0]
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, load average {load:.1f} at the start")
    with tempfile.TemporaryDirectory(prefix="fal-ledger-", dir=options.folder) as folder:
        if "cpu" in options.parts:
            print(f"\n{cpu(folder, rounds, 4000 // share)}", flush=True)
        if "rate" in options.parts:
            print(f"\n{rate(folder, rounds, 10_000 // share)}", flush=True)
        if "postgres" in options.parts:
            print(f"\n{postgres(folder, rounds, 4000 // share)}", flush=True)
        if "memory" in options.parts:
            print(f"\n{memory(folder, 1000 // share, 100_000 // share)}", flush=True)


if __name__ == "__main__":
    main()
