"""Medians, ratios and quantiles of raw results, for the tables and the targets.

A result is the output of `benchmarks.harness.worker`; the data of a part contains the results by round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Data = Mapping[str, Any]
Result = Mapping[str, Any]
Results = Sequence[Result]
FLOOR = "aiohttp"


def grouped(data: Data, *by: str) -> list[Results]:
    """Group the results of all rounds by load, sorted by these fields of the load, otherwise in planned order."""
    groups: dict[Any, list[Result]] = {}
    for result in (result for results in data["rounds"] for result in results):
        groups.setdefault(tuple(result["load"].items()), []).append(result)
    return sorted(groups.values(), key=lambda results: [results[0]["load"][field] or 0 for field in by])


def find(data: Data, **wanted: Any) -> Results:
    """Return the finished results whose load has these values."""
    found: list[Result] = [
        result
        for results in data["rounds"]
        for result in results
        if "wall" in result and wanted.items() <= result["load"].items()
    ]
    return found


def each(results: Results, name: str) -> float:
    """Return the median of "cpu" or "wall" (seconds) or "memory" (bytes) per call."""
    return median(float(result[name] / result["load"]["total"]) for result in results)


def cpu_ratio(data: Data, results: Results, rival: str) -> float | None:
    """Return the CPU per call relative to a polling rival: the median of the ratios within each round."""
    load = results[0]["load"]
    same = {name: load[name] for name in ("call", "server", "at_once", "seconds")}
    ratios = []
    for of_round in data["rounds"]:
        ours = [result for result in of_round if result in results]
        theirs = find({"rounds": [of_round]}, rival=rival, mode="polling", **same)
        if ours and theirs:
            ratios.append(each(ours, "cpu") / each(theirs, "cpu"))
    return median(ratios) if ratios else None


def requests_each(results: Results, *kinds: str) -> float:
    """Return the mean number of requests per submission, of all kinds or of the given ones."""
    sent, submissions = Counter[str](), 0
    for result in results:
        sent.update(result["server"]["requests"])
        submissions += result["server"]["submissions"]
    return sum(sent[kind] for kind in kinds or sent) / max(1, submissions)


def of_server(results: Results, name: str) -> float:
    return median(float(result["server"][name]) for result in results)


def delay(results: Results, share: float) -> float:
    """Return a quantile of the seconds from completion to return, over the jobs of all rounds; NaN without jobs."""
    ranked = sorted(seconds for result in results for seconds in result["delays"])
    return ranked[round((len(ranked) - 1) * share)] if ranked else float("nan")


def errors(results: Results) -> str:
    counts = Counter[str]()
    for result in results:
        counts.update(result["errors"])
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "0"


def column(samples: Sequence[Sequence[float]], index: int) -> float:
    return median(sample[index] for sample in samples)
