"""Medians, ratios and quantiles of raw results; what the tables and the targets both need.

A result is what `benchmarks.harness.worker` printed; the data of a part holds them by round.
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
    """All rounds' results of each load; sorted by these fields of the load, else as they were planned."""
    groups: dict[Any, list[Result]] = {}
    for result in (result for results in data["rounds"] for result in results):
        groups.setdefault(tuple(result["load"].items()), []).append(result)
    return sorted(groups.values(), key=lambda results: [results[0]["load"][field] or 0 for field in by])


def find(data: Data, **wanted: Any) -> Results:
    """The results whose load has these values and that came to an end."""
    found: list[Result] = [
        result
        for results in data["rounds"]
        for result in results
        if "wall" in result and wanted.items() <= result["load"].items()
    ]
    return found


def each(results: Results, name: str) -> float:
    """Median of "cpu" or "wall" (seconds) or "memory" (bytes) per call."""
    return median(float(result[name] / result["load"]["total"]) for result in results)


def cpu_ratio(data: Data, results: Results, rival: str) -> float | None:
    """CPU per call beside a polling rival's in the same round; the median of the rounds' ratios."""
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
    """Mean number of requests per submission; of all kinds, or of these."""
    sent, submissions = Counter[str](), 0
    for result in results:
        sent.update(result["server"]["requests"])
        submissions += result["server"]["submissions"]
    return sum(sent[kind] for kind in kinds or sent) / max(1, submissions)


def of_server(results: Results, name: str) -> float:
    return median(float(result["server"][name]) for result in results)


def delay(results: Results, share: float) -> float:
    """Seconds from completion to return: this quantile of all rounds' jobs together; NaN without any."""
    ranked = sorted(seconds for result in results for seconds in result["delays"])
    return ranked[round((len(ranked) - 1) * share)] if ranked else float("nan")


def errors(results: Results) -> str:
    counts = Counter[str]()
    for result in results:
        counts.update(result["errors"])
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "0"


def column(samples: Sequence[Sequence[float]], index: int) -> float:
    return median(sample[index] for sample in samples)
