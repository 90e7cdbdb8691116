"""Fresh processes, a server and a worker for each measurement, so that measurements do not affect each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from benchmarks.harness.cpu import cpu_seconds
from benchmarks.harness.load import Load

ROOT = Path(__file__).resolve().parents[2]
GRACE = 30.0
"""Seconds beyond a load's own limit before its process is killed."""


def environment() -> dict[str, str]:
    """Return the environment without FAL_*, PYTHON* and SSL_* variables.

    Such settings of the shell could redirect a client, make it log, prevent byte code from being cached, or
    change its trusted certificates.
    """
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("FAL_", "PYTHON", "SSL_"))
    }
    return {**kept, "PYTHONPATH": str(ROOT), "FAL_KEY": "bench:key"}


def start(*command: str) -> subprocess.Popen[str]:
    """Start a Python process with pipes to its standard input and output."""
    return subprocess.Popen(
        [sys.executable, *command], stdin=-1, stdout=-1, cwd=ROOT, env=environment(), text=True
    )


@contextmanager
def server(kind: str = "load", *arguments: str) -> Iterator[str]:
    """Run a server of `benchmarks.servers`, and yield its URL. It stops when its standard input is closed."""
    with start("-m", f"benchmarks.servers.{kind}_server", *arguments) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def measure(load: Load) -> dict[str, Any]:
    """Return the output of `benchmarks.harness.worker`; if it fails, a result with the reason under "errors"."""
    limit = load.give_up + load.taught * load.seconds + GRACE
    with server(load.server) as url:
        command = ("-m", "benchmarks.harness.worker", url, json.dumps(attrs.asdict(load)))
        try:
            result: dict[str, Any] = run_script(*command, limit=limit)[2]
        except RuntimeError as error:
            return {"load": attrs.asdict(load), "finished": 0, "errors": {str(error): load.total}}
    return result


def run_script(*command: str, limit: float = 60.0) -> tuple[float, float, Any]:
    """Run a script; return its start (monotonic seconds), its CPU seconds, and the JSON in its last line of output.

    Raises RuntimeError, with the last line of its error output, if it fails or takes longer than `limit` seconds.
    """
    cpu, started = cpu_seconds(children=True), time.monotonic()
    output = _output(*command, limit=limit)
    return started, cpu_seconds(children=True) - cpu, json.loads(output.splitlines()[-1])


def _output(*command: str, limit: float) -> str:
    try:
        done = subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            cwd=ROOT,
            env=environment(),
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"killed: it did not end within {limit:g} s") from None
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["failed without an error message"])[-1])
    return done.stdout
