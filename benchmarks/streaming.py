"""CPU of streams and realtime: `python -m benchmarks.streaming` prints both tables, as Markdown.

Streams: 100,000 small events, read by fal_async, by fal's own client (`pip install fal-client`), and by a loop on
bare aiohttp that splits lines (the floor, which implements only what this benchmark needs of the format).
Realtime: an echo, where each message is answered before the next one is sent, by fal_async and by a loop on bare
aiohttp with msgpack. Every candidate and the server run in separate processes. The candidates take turns for
several rounds; the table shows the median of each candidate's own CPU time (user and system), without start-up.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from statistics import median

from benchmarks.harness import processes
from benchmarks.rivals.streams import CANDIDATES, EVENT

LIMIT = 600.0
"""Seconds that one candidate may take."""


def run(table: str, name: str, url: str, count: int) -> dict[str, float]:
    command = ("-m", "benchmarks.rivals.streams", table, name, url, str(count))
    figures: dict[str, float] = processes.run_script(*command, limit=LIMIT)[2]
    if figures["count"] != count:
        raise RuntimeError(f"{name} has read {figures['count']:g} of {count} events")
    return figures


def take(table: str, count: int, rounds: int) -> dict[str, list[dict[str, float]]]:
    names = [name for name in CANDIDATES[table] if name != "fal-client" or has_fal_client()]
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with processes.server("stream", str(count)) as url:
        for _ in range(rounds):
            for name in names:
                taken[name].append(run(table, name, url, count))
    return taken


def has_fal_client() -> bool:
    return importlib.util.find_spec("fal_client") is not None


def table_of(taken: dict[str, list[dict[str, float]]], base: str, unit: str, count: int) -> str:
    lines = [f"| | CPU per {unit}, µs | wall per {unit}, µs | CPU relative to {base} |", "|---|---|---|---|"]
    reference = median(figures["cpu"] for figures in taken[base])
    for name, rounds in taken.items():
        cpu, wall = (median(figures[kind] for figures in rounds) for kind in ("cpu", "wall"))
        ratio = median(
            one["cpu"] / other["cpu"] for one, other in zip(rounds, taken[base], strict=True)
        )  # per round, in which both shared the machine with the same load
        micro = 1e6 / count
        lines.append(f"| {name} | {cpu * micro:.1f} | {wall * micro:.1f} | {ratio:.2f} |")
    lines.append(f"\n{len(taken[base])} rounds of {count:,}; {base}: {reference:.2f} s of CPU in all.")
    return "\n".join(lines)


def report(tables: list[str], quick: bool, rounds: int) -> None:
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs")
    if "streams" in tables:
        count = 10_000 if quick else 100_000
        taken = take("streams", count, rounds)
        print(f"\nStreams, {count:,} events of {len(json.dumps(EVENT))} characters:\n")
        print(table_of(taken, "fal-client" if has_fal_client() else "bare aiohttp", "event", count))
    if "realtime" in tables:
        count = 2_000 if quick else 20_000
        taken = take("realtime", count, rounds)
        print("\nRealtime echo, messages of a kilobyte:\n")
        print(table_of(taken, "bare aiohttp + msgpack", "round trip", count))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__)
    parser.add_argument("tables", nargs="*", default=["streams", "realtime"], help="streams, realtime")
    parser.add_argument("--quick", action="store_true", help="a tenth of the events and messages")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    report(options.tables, options.quick, options.rounds)


if __name__ == "__main__":
    main()
