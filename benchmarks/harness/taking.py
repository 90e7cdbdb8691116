"""Take the figures of a part, round after round, each measurement in fresh processes."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.harness import processes
from benchmarks.harness.load import Load
from benchmarks.harness.plan import OFFICIAL, Part

IMPORTS = ("fal_async", "fal_async:Session", "fal_client", "aiohttp")
SCRIPTS = {
    "python alone": ("-c", "import time; print(time.monotonic())"),
    "aiohttp": ("benchmarks/cold_start/with_aiohttp.py",),
    "fal-client": ("benchmarks/cold_start/with_fal_client.py",),
    "fal_async": ("benchmarks/cold_start/with_fal_async.py",),
}
_PACKAGES = ("fal-async", "fal-client", "aiohttp", "attrs", "cattrs", "httpx", "sniffio")


def about() -> dict[str, Any]:
    """Return the machine and the versions with which the figures are taken."""
    return {
        "taken": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "cpu": _cpu_model(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "kernel": platform.release(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def take(part: Part, rounds: int | None = None) -> dict[str, Any]:
    """Take all figures of a part; `rounds` replaces its own number of rounds."""
    described = about()
    return {"about": described, "rounds": [_round(part, number) for number in range(rounds or part.rounds)]}


def _round(part: Part, number: int) -> list[dict[str, Any]]:
    loads = [*part.loads, *(part.once if number == 0 else ())]
    if number % 2:
        loads.reverse()
    together = [load for load in loads if load.seconds >= part.side_by_side and load.rival != OFFICIAL]
    alone = [load for load in loads if load not in together]
    return [_measure(load) for load in alone] + _side_by_side(together)


def _side_by_side(loads: list[Load]) -> list[dict[str, Any]]:
    if not loads:
        return []
    with ThreadPoolExecutor(len(loads)) as pool:
        return list(pool.map(_measure, loads))


def _measure(load: Load) -> dict[str, Any]:
    result = processes.measure(load)
    what = f"{load.call} of {load.seconds:g} s, {load.at_once} at a time"
    outcome = (
        f"{result['finished']} of {load.total} in {result.get('wall', 0):.1f} s {result['errors'] or ''}"
    )
    print(f"  {load.rival:<10} {load.mode:<9} {what}: {outcome}", flush=True)
    return result


def take_imports(rounds: int) -> dict[str, Any]:
    """Return [seconds, CPU seconds, bytes, modules] of each import and round; an untimed import compiles first."""

    def one(target: str) -> Any:
        return processes.run_script("benchmarks/cold_start/importing.py", target)[2]

    return {"about": about(), "samples": _alternating(IMPORTS, one, rounds)}


def take_cold_starts(rounds: int) -> dict[str, Any]:
    """Return [seconds from process start to the first response, CPU seconds] of each client and round."""
    with processes.server() as url:

        def one(name: str) -> list[float]:
            started, cpu, answered = processes.run_script(*SCRIPTS[name], url)
            return [answered - started, cpu]

        return {"about": about(), "samples": _alternating(SCRIPTS, one, rounds)}


def take_saturation(seconds: float) -> dict[str, Any]:
    with processes.server() as url:
        *_, figures = processes.run_script("-m", "benchmarks.saturation", url, str(seconds))
    return {"about": about(), **figures}


def _alternating(names: Iterable[str], one: Any, rounds: int) -> dict[str, list[Any]]:
    samples: dict[str, list[Any]] = {name: [] for name in names if _works(name, one)}
    for number in range(rounds):
        for name in reversed(samples) if number % 2 else samples:
            samples[name].append(one(name))
    return samples


def _works(name: str, one: Any) -> bool:
    try:
        one(name)
    except RuntimeError as error:
        print(f"  {name} is left out: {error}", flush=True)
        return False
    return True


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
