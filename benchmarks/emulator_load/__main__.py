"""`python -m benchmarks.emulator_load [PART ...] [--quick] [--rounds N]`: what the emulator costs under load.

Parts: `requests`, `memory`, `streams`, `waiting`, `crowd`, `hour`. 5,000 streams need 5,100 open files
(`ulimit -n`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.emulator_load import measures
from benchmarks.emulator_load.virtual_hour import virtual_hour

Taken = dict[str, float]


def _requests(quick: bool, rounds: int) -> None:
    seconds = 1.0 if quick else 5.0
    pairs = [
        (measures.requests("bare", seconds), measures.requests("emulator", seconds)) for _ in range(rounds)
    ]
    for name, taken in zip(("bare aiohttp", "the emulator"), zip(*pairs, strict=True), strict=True):
        rate, share = _median(taken, "per_cpu_second"), _median(taken, "share")
        print(f"  {name}: {rate:,.0f} requests per CPU second, {share:.0%} of a CPU")
    ratio = median(ours["per_cpu_second"] / bare["per_cpu_second"] for bare, ours in pairs)
    print(f"  the emulator relative to bare aiohttp: {ratio:.2f}")


def _memory(quick: bool, rounds: int) -> None:
    count = 2_000 if quick else 10_000
    _show("MiB per 10,000 ended jobs", [measures.ended_jobs(count) for _ in range(rounds)])


def _streams(quick: bool, rounds: int) -> None:
    count = 200 if quick else 5_000
    _show(f"{count:,} open status streams", [measures.status_streams(count) for _ in range(rounds)])


def _waiting(quick: bool, rounds: int) -> None:
    count = 500 if quick else 10_000
    taken = [measures.waiting_jobs(count) for _ in range(rounds)]
    _show(f"CPU ms each, {count:,} jobs waiting in one queue", taken)


def _crowd(quick: bool, rounds: int) -> None:
    count = 500 if quick else 10_000
    _show(f"{count:,} instant subscribes at once", [measures.at_once(count) for _ in range(rounds)])


def _hour(quick: bool, rounds: int) -> None:
    count = 120 if quick else 500
    _show(f"a virtual hour with {count:,} requests", [virtual_hour(count) for _ in range(rounds)])


PARTS: dict[str, Callable[[bool, int], None]] = {
    "requests": _requests,
    "memory": _memory,
    "streams": _streams,
    "waiting": _waiting,
    "crowd": _crowd,
    "hour": _hour,
}


def _show(what: str, taken: Sequence[Taken]) -> None:
    cells = ", ".join(f"{name} {_median(taken, name):,.3g}" for name in taken[0])
    print(f"  {what}: {cells}", flush=True)


def _median(taken: Sequence[Taken], name: str) -> float:
    return median(one[name] for one in taken)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.emulator_load", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"default: all of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="use small sizes")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the medians are shown")
    options = parser.parse_args()
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"unknown part: {', '.join(unknown)}; expected {', '.join(PARTS)}")
    for part in options.parts or PARTS:
        print(f"{part}:", flush=True)
        PARTS[part](options.quick, options.rounds)


if __name__ == "__main__":
    main()
