"""The project's own targets, compared with the measurements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from benchmarks.harness.figures import (
    FLOOR,
    Data,
    Results,
    column,
    cpu_ratio,
    delay,
    each,
    errors,
    find,
    requests_each,
)
from benchmarks.harness.plan import OFFICIAL

OURS = "fal_async"


@attrs.frozen
class Target:
    what: str
    measured: float
    limit: float
    unit: str = ""

    def row(self) -> str:
        over = self.measured - self.limit
        met = "yes" if over <= 0 else f"no, by {over:.3g}{self.unit}"
        return f"| {self.what} | {self.limit:g}{self.unit} | {self.measured:.3g}{self.unit} | {met} |"


def targets(parts: Mapping[str, Data]) -> str:
    """Return a Markdown table of all targets that were measured."""
    rows = [target.row() for part, check in _CHECKS.items() if part in parts for target in check(parts[part])]
    return "\n".join(["| figure | at most | measured | met |", "| --- | ---: | ---: | --- |", *rows])


def _calls(data: Data) -> Iterator[Target]:
    for call, at_once, mode in _call_sizes():
        results = find(data, rival=OURS, call=call, at_once=at_once, mode=mode)
        if not results:
            continue
        what = f"CPU per {_call_name(call, mode)}, {at_once:,} at a time"
        if (ratio := cpu_ratio(data, results, FLOOR)) is not None:
            yield Target(f"{what}, relative to bare aiohttp", ratio, 1.4, " x")
        if at_once == 100 and (ratio := cpu_ratio(data, results, OFFICIAL)) is not None:
            yield Target(f"{what}, relative to fal-client", ratio, 0.25, " x")


def _call_sizes() -> Iterator[tuple[str, int, str]]:
    for at_once in (1, 100, 1000):
        yield "run", at_once, "polling"
        yield "subscribe", at_once, "polling"
        yield "subscribe", at_once, "auto"


def _call_name(call: str, mode: str) -> str:
    return call if call == "run" else f"instant subscribe ({mode})"


def _emulator(data: Data) -> Iterator[Target]:
    for mode in ("polling", "auto"):
        results = find(data, rival=OURS, mode=mode)
        if results and (ratio := cpu_ratio(data, results, FLOOR)) is not None:
            what = f"1,000 subscribes at once on the emulator ({mode}), CPU relative to bare aiohttp"
            yield Target(f"{what}, {errors(results)} errors", ratio, 1.6, " x")


def _noticing(data: Data) -> Iterator[Target]:
    wanted = (
        # seconds, mode, known, status requests, seconds of delay
        (10.0, "polling", False, 21, 0.270),
        (10.0, "polling", True, 10, 0.060),
        (10.0, "streaming", False, 1, 0.010),
        (60.0, "polling", False, 40, 0.02 * 60),
        (60.0, "polling", True, 40, 0.02 * 60),
    )
    for seconds, mode, known, requests, late in wanted:
        results = find(data, rival=OURS, seconds=seconds, mode=mode, new_endpoints=not known)
        if results:
            what = f"{seconds:g} s jobs, {mode}, endpoint {'known' if known else 'new'}"
            sent = requests_each(results, "status", "stream", "status_stream")
            yield Target(f"{what}: status requests", sent, requests)
            yield Target(f"{what}: median delay", delay(results, 0.5) * 1e3, late * 1e3, " ms")


def _crowd(data: Data) -> Iterator[Target]:
    for mode in ("polling", "streaming", "auto"):
        results = find(data, rival=OURS, mode=mode, total=10_000)
        if results:
            what = f"10,000 jobs of 20 s at once, {mode}"
            yield Target(f"{what}: unfinished", float(_lost(results)), 0)
            yield Target(f"{what}: wall time", each(results, "wall") * 10_000, 35, " s")
            yield Target(f"{what}: memory per job", each(results, "memory") / 1e3, 40, " KB")


def _lost(results: Results) -> int:
    return sum(result["load"]["total"] - result["finished"] for result in results)


def _imports(data: Data) -> Iterator[Target]:
    samples = data["samples"]
    if "fal_client" in samples and OURS in samples:
        ratio = column(samples[OURS], 0) / column(samples["fal_client"], 0)
        yield Target("import fal_async relative to import fal_client", ratio, 1.0, " x")


def _cold(data: Data) -> Iterator[Target]:
    samples = data["samples"]
    if OURS in samples:
        what = "cold process to the first response of run, relative to bare aiohttp"
        for index, measure in enumerate(("wall time", "CPU")):
            ratio = column(samples[OURS], index) / column(samples[FLOOR], index)
            yield Target(f"{what}: {measure}", ratio, 1.15, " x")


_CHECKS: Mapping[str, Any] = {
    "calls": _calls,
    "emulator": _emulator,
    "noticing": _noticing,
    "crowd": _crowd,
    "imports": _imports,
    "cold": _cold,
}
