"""Fresh processes: a server and a worker per measurement, so that nothing is left from the one before."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from benchmarks.harness.load import Load

ROOT = Path(__file__).resolve().parents[2]
GRACE = 30.0
"""Seconds beyond a load's own limit before its process is killed."""


def environment() -> dict[str, str]:
    """No setting of this shell may lead a client elsewhere, make it log, or keep byte code from being kept."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FAL_", "PYTHON"))}
    return {**kept, "PYTHONPATH": str(ROOT), "FAL_KEY": "bench:key"}


@contextmanager
def server(kind: str = "load") -> Iterator[str]:
    """Its URL; `kind` as in `Load.server`. The server stops when its standard input is closed."""
    command = [sys.executable, "-m", f"benchmarks.servers.{kind}_server"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, cwd=ROOT, env=environment(), text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def measure(load: Load) -> dict[str, Any]:
    """What `benchmarks.harness.worker` prints; where it ends otherwise, the reason under "errors"."""
    with server(load.server) as url:
        command = [sys.executable, "-m", "benchmarks.harness.worker", url, json.dumps(attrs.asdict(load))]
        limit = load.give_up + load.taught * load.seconds + GRACE
        try:
            done = subprocess.run(
                command, capture_output=True, cwd=ROOT, env=environment(), text=True, timeout=limit
            )
        except subprocess.TimeoutExpired:
            return _nothing(load, "killed: did not stop when told to")
    if done.returncode != 0:
        return _nothing(load, (done.stderr.strip().splitlines() or ["died without a word"])[-1])
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _nothing(load: Load, reason: str) -> dict[str, Any]:
    return {"load": attrs.asdict(load), "finished": 0, "errors": {reason: load.total}}


def run_script(*command: str) -> tuple[float, float, Any]:
    """Start (monotonic seconds), CPU seconds in all, and the JSON that a small script prints."""
    cpu, started = _children_cpu(), time.monotonic()
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, cwd=ROOT, env=environment(), text=True, timeout=60
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1:]}")
    return started, _children_cpu() - cpu, json.loads(done.stdout)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
