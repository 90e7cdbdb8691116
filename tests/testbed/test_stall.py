"""The plug-in of `make stall`: it delays steps and jobs, repeats a run by its seed, and ends its busy processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testbed.stall import LOOP_SECONDS, LOOP_SHARE, MOST_SECONDS, THREAD_SECONDS, Stalls

ROOT = Path(__file__).parents[2]
SEED = "7"
STALLED = """
import asyncio, time
from concurrent.futures import ThreadPoolExecutor

CLOCKS = []


def seconds_stalled():
    return sum(CLOCKS)


def test_it(monkeypatch):
    monkeypatch.setattr(time, "sleep", CLOCKS.append)

    async def steps():
        for _ in range(2000):
            await asyncio.sleep(0)

    asyncio.run(steps())
    with open("of loops", "a") as seen:
        print(*CLOCKS, file=seen)
    assert CLOCKS
    CLOCKS.clear()
    with ThreadPoolExecutor(1) as pool:
        for _ in range(200):
            pool.submit(int).result()
    assert CLOCKS
"""
ENDLESS = """
import time


def test_it():
    print("began", flush=True)
    time.sleep(60)
"""


def pytest_on(folder: Path, test: str, *options: str) -> subprocess.Popen[str]:
    """Start another pytest, whose output pipe its busy processes hold open, too."""
    (folder / "test_it.py").write_text(test)
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pytest",
            "-qs",
            "-p",
            "tests.testbed.stall",
            "-p",
            "no:cacheprovider",
            *options,
            ".",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_same_seed_stalls_the_same_steps_and_jobs() -> None:
    one, again, other = Stalls(SEED), Stalls(SEED), Stalls("8")
    first = [one.before_step() for _ in range(1000)]
    assert first == [again.before_step() for _ in range(1000)]
    assert first != [other.before_step() for _ in range(1000)]
    assert one.before_job() == again.before_job()


def test_few_steps_are_delayed_and_none_longer_than_the_limit() -> None:
    stalls = Stalls(SEED)
    late = [seconds for _ in range(2000) if (seconds := stalls.before_step())]
    assert 0.5 * LOOP_SHARE < len(late) / 2000 < 2 * LOOP_SHARE
    assert LOOP_SECONDS / 2 < max(late) <= LOOP_SECONDS
    assert max(stalls.before_job() for _ in range(100)) > LOOP_SECONDS
    assert max(stalls.before_job() for _ in range(100)) <= THREAD_SECONDS


def test_the_delays_of_one_test_have_a_total_limit() -> None:
    stalls = Stalls(SEED)
    assert sum(stalls.before_job() for _ in range(10_000)) == pytest.approx(MOST_SECONDS)
    assert stalls.before_job() == 0.0


def test_a_run_with_the_same_seed_repeats_the_delays_of_loops_and_threads(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest_on(tmp_path, STALLED, "--stall-seed", SEED) as run:
            said, _ = run.communicate(timeout=50)
        assert run.returncode == 0, said
        assert f"--stall-seed {SEED}" in said
    first, second = (tmp_path / "of loops").read_text().splitlines()
    assert first == second


def test_busy_processes_end_when_their_pytest_is_killed(tmp_path: Path) -> None:
    with pytest_on(tmp_path, ENDLESS, "--stall-busy", "2") as run:
        assert run.stdout is not None
        assert any("began" in line for line in run.stdout)
        run.kill()
        run.communicate(timeout=50)  # returns when no process has the pipe open: its busy processes are gone
    assert run.returncode != 0


def test_busy_processes_end_when_their_pytest_ends(tmp_path: Path) -> None:
    with pytest_on(tmp_path, "def test_it(): pass", "--stall-busy", "2") as run:
        said, _ = run.communicate(timeout=50)
    assert run.returncode == 0, said
