"""Markdown tables from the raw numbers. Every cell is a median over the rounds, unless stated otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from benchmarks.harness.figures import (
    FLOOR,
    Data,
    Result,
    Results,
    column,
    cpu_ratio,
    delay,
    each,
    errors,
    grouped,
    of_server,
    requests_each,
)
from benchmarks.harness.plan import OFFICIAL


def imports(data: Data) -> str:
    samples = data["samples"]
    rows = [
        [
            f"`from {name.replace(':', ' import ')}`" if ":" in name else f"`import {name}`",
            f"{column(runs, 0) * 1e3:.1f}",
            _versus(column(runs, 0), column(samples["fal_client"], 0) if "fal_client" in samples else None),
            f"{column(runs, 1) * 1e3:.1f}",
            f"{column(runs, 2) / 1e6:.1f}",
            f"{column(runs, 3):.0f}",
        ]
        for name, runs in samples.items()
    ]
    return _table("import | ms | x fal-client | CPU ms | MB | modules", rows)


def cold_starts(data: Data) -> str:
    samples = data["samples"]
    rows = [
        [
            name,
            f"{column(runs, 0) * 1e3:.0f}",
            _versus(column(runs, 0), column(samples[FLOOR], 0)),
            f"{column(runs, 1) * 1e3:.0f}",
        ]
        for name, runs in samples.items()
    ]
    return _table("client | ms to the first answer | x aiohttp | CPU ms of the process", rows)


def saturation(data: Data) -> str:
    row = [
        f"{data['per_second']:,.0f}",
        f"{data['server_cpu_each'] * 1e6:.0f}",
        f"{data['server_share']:.0%}",
    ]
    return _table("submits per second from raw sockets | server CPU µs each | server CPU", [row])


def calls(data: Data) -> str:
    head = (
        "call | at a time | client | CPU ms each | x aiohttp | x fal-client | wall ms each | requests each "
        "| connections | errors | server CPU"
    )
    rows = []
    for results, whole in _with_ended(grouped(data, "call", "at_once")):
        load = results[0]["load"]
        figures = _call_figures(data, whole) if whole else ["-"] * 6
        share = [f"{of_server(whole, 'cpu_share'):.0%}"] if whole else ["-"]
        rows.append(
            [load["call"], f"{load['at_once']:,}", _client(results[0]), *figures, errors(results), *share]
        )
    return _table(head, rows)


def _call_figures(data: Data, results: Results) -> list[str]:
    return [
        f"{each(results, 'cpu') * 1e3:.2f}",
        _times(cpu_ratio(data, results, FLOOR)),
        _times(cpu_ratio(data, results, OFFICIAL)),
        f"{each(results, 'wall') * 1e3:.2f}",
        f"{requests_each(results):.1f}",
        f"{of_server(results, 'connections'):.0f}",
    ]


def noticing(data: Data) -> str:
    head = (
        "job | client | endpoint | status requests each | median delay ms | 99th percentile ms | delay / job "
        "| CPU ms each | jobs | errors"
    )
    rows = []
    for results, whole in _with_ended(grouped(data, "seconds")):
        load = results[0]["load"]
        figures = _noticing_figures(whole, load["seconds"]) if whole else ["-"] * 5
        finished = sum(result["finished"] for result in results)
        endpoint = "known" if load["taught"] else "new"
        row = [f"{load['seconds']:g} s", _client(results[0]), endpoint, *figures]
        rows.append([*row, str(finished), errors(results)])
    return _table(head, rows)


def _noticing_figures(results: Results, seconds: float) -> list[str]:
    return [
        f"{requests_each(results, 'status', 'stream'):.1f}",
        f"{delay(results, 0.5) * 1e3:.1f}",
        f"{delay(results, 0.99) * 1e3:.1f}",
        f"{delay(results, 0.5) / seconds:.1%}",
        f"{each(results, 'cpu') * 1e3:.1f}",
    ]


def crowd(data: Data) -> str:
    head = (
        "jobs at once | client | open files | finished | errors | wall s | CPU s | KB each | requests each "
        "| connections | median delay s | server CPU"
    )
    rows = []
    for results, whole in _with_ended(grouped(data, "open_files", "total")):
        load = results[0]["load"]
        figures = _crowd_figures(whole) if whole else ["-"] * 7
        finished = f"{sum(result['finished'] for result in results) / len(results):,.0f}"
        jobs, files = f"{load['total']:,} of {load['seconds']:g} s", str(load["open_files"] or "enough")
        rows.append([jobs, _client(results[0]), files, finished, errors(results), *figures])
    return _table(head, rows)


def _crowd_figures(results: Results) -> list[str]:
    return [
        f"{each(results, 'wall') * results[0]['load']['total']:.1f}",
        f"{each(results, 'cpu') * results[0]['load']['total']:.1f}",
        f"{each(results, 'memory') / 1e3:.1f}",
        f"{requests_each(results):.1f}",
        f"{of_server(results, 'most_connections'):,.0f}",
        f"{delay(results, 0.5):.2f}",
        f"{of_server(results, 'cpu_share'):.0%}",
    ]


def large(data: Data) -> str:
    rows = []
    for results, whole in _with_ended(grouped(data, "megabytes", "call")):
        load = results[0]["load"]
        figures = _large_figures(whole) if whole else ["-"] * 4
        row = [f"{load['megabytes']:g} MB", load["call"], load["rival"], *figures]
        rows.append([*row, errors(results)])
    return _table(
        "result | call | client | longest stall ms | CPU ms each | wall ms each | MB | errors", rows
    )


def _large_figures(results: Results) -> list[str]:
    return [
        f"{median(result['stall'] for result in results) * 1e3:.0f}",
        f"{each(results, 'cpu') * 1e3:.0f}",
        f"{each(results, 'wall') * 1e3:.0f}",
        f"{median(result['memory'] for result in results) / 1e6:.0f}",
    ]


TABLES: Mapping[str, Callable[[Data], str]] = {
    "imports": imports,
    "cold": cold_starts,
    "calls": calls,
    "noticing": noticing,
    "crowd": crowd,
    "emulator": calls,
    "large": large,
    "saturation": saturation,
}


def where(data: Data) -> str:
    """Return one line with the time, the machine and the versions."""
    about = data["about"]
    versions = ", ".join(f"{name} {version}" for name, version in about["packages"].items() if version)
    return (
        f"{about['taken']}, {about['cpus']} CPUs ({about['cpu']}), load average {about['load_average']:.1f} "
        f"at the start; Python {about['python']}, {versions}."
    )


def _with_ended(groups: Sequence[Results]) -> list[tuple[Results, Results]]:
    """Return each group with its finished results: the others have errors but no figures."""
    return [(results, [result for result in results if "wall" in result]) for results in groups]


def _client(result: Result) -> str:
    load = result["load"]
    return str(load["rival"]) if load["call"] == "run" else f"{load['rival']}, {load['mode']}"


def _versus(value: float, base: float | None) -> str:
    return _times(value / base if base else None)


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def _table(head: str, rows: Sequence[Sequence[str]]) -> str:
    names = head.split(" | ")
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
