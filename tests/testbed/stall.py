"""A pytest plug-in that makes the machine look busy: `python -m pytest -p tests.testbed.stall`, or `make stall`.

Some steps of each event loop and some jobs of thread pools begin late, so that events occur in an order that an
idle machine never shows. It belongs to the test bed and is not a test: it patches asyncio and concurrent.futures
for the whole run, as there is no other way to delay them.

The run prints its seed when it begins. The random numbers of each test depend only on the seed and the test's name:
with `--stall-seed N` a single test is stalled again as it was in the whole run.
"""

from __future__ import annotations

import asyncio.base_events
import functools
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

LOOP_SHARE, LOOP_SECONDS = 0.05, 0.06
"""The share of an event loop's steps that begin late, and the longest delay in seconds."""
THREAD_SHARE, THREAD_SECONDS = 0.3, 0.1
"""The same for the jobs of thread pools."""
MOST_SECONDS = 20.0
"""Seconds of delay in one test, over all its loops and threads: a test of 100,000 steps would take minutes."""

_BUSY = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
while True:
    pass
"""
"""Keeps a core busy until its standard input, a pipe from pytest, is closed: even if pytest is killed."""


class Stalls:
    """Returns the delays of steps and jobs: the same numbers for the same seed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._left = MOST_SECONDS

    def before_step(self) -> float:
        return self._seconds(LOOP_SHARE, LOOP_SECONDS)

    def before_job(self) -> float:
        return self._seconds(THREAD_SHARE, THREAD_SECONDS)

    def _seconds(self, share: float, most: float) -> float:
        if self._random.random() >= share:
            return 0.0
        seconds = min(self._random.uniform(0.0, most), self._left)
        self._left -= seconds
        return seconds


class StallPlugin:
    """One run with one seed."""

    def __init__(self, seed: int, busy: int) -> None:
        self.seed: int = seed
        self._busy = busy
        self._stalls = Stalls(str(seed))
        self._processes: list[subprocess.Popen[bytes]] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._stalls = Stalls(f"{self.seed} {item.nodeid}")
        return (yield)

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._stall_loops()
        self._stall_threads()
        terminal = session.config.pluginmanager.get_plugin("terminalreporter")
        if hasattr(session.config, "workerinput") or terminal is None:
            return  # a worker of xdist: the main process prints the seed and starts the busy processes
        terminal.write_line(f"this run is stalled; to repeat it: --stall-seed {self.seed}")
        self._processes = [
            subprocess.Popen([sys.executable, "-c", _BUSY], stdin=subprocess.PIPE) for _ in range(self._busy)
        ]

    def pytest_sessionfinish(self) -> None:
        for process in self._processes:
            process.communicate()

    def _stall_loops(self) -> None:
        loops: Any = asyncio.base_events.BaseEventLoop
        plain = loops._run_once

        @functools.wraps(plain)
        def stalled(loop: object) -> None:
            if seconds := self._stalls.before_step():
                time.sleep(seconds)
            plain(loop)

        loops._run_once = stalled

    def _stall_threads(self) -> None:
        pools: Any = ThreadPoolExecutor
        plain = pools.submit

        @functools.wraps(plain)
        def stalled(pool: object, job: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
            late = functools.partial(_after, self._stalls.before_job(), job)
            future: Future[Any] = plain(pool, late, *args, **named)
            return future

        pools.submit = stalled


def _after(seconds: float, job: Callable[..., Any], *args: Any, **named: Any) -> Any:
    if seconds:
        time.sleep(seconds)
    return job(*args, **named)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("stall")
    group.addoption("--stall-seed", type=int, help="repeat the delays of the run that printed this number")
    group.addoption(
        "--stall-busy", type=int, default=0, help="number of processes that keep the cores busy (default: 0)"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.option.stall_seed is None:
        config.option.stall_seed = random.SystemRandom().randrange(10**6)  # xdist passes it to its workers
    config.pluginmanager.register(StallPlugin(config.option.stall_seed, config.option.stall_busy))
