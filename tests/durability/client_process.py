"""Runs the user's program as a separate process, and reads its output."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from tests.durability.client import Plan

ROOT = Path(__file__).resolve().parents[2]
KILLED = -signal.SIGKILL


@attrs.frozen(kw_only=True)
class Ran:
    """The outcome of the program: its exit status, the line of each item, and its standard error."""

    status: int
    items: dict[int, dict[str, Any]]
    errors: str

    @property
    def wrong(self) -> dict[int, str]:
        """The errors of the items that have one, by number."""
        return {number: item["error"] for number, item in self.items.items() if item["error"]}


async def run(url: str, plan: Plan, **environment: str) -> Ran:
    """Run the program to its end."""
    async with started(url, plan, **environment) as process:
        return await ended(process)


async def kill(process: asyncio.subprocess.Process) -> Ran:
    """Kill the program with SIGKILL, as the kernel does if memory is exhausted."""
    process.kill()
    ran = await ended(process)
    assert ran.status == KILLED, ran.errors
    return ran


@asynccontextmanager
async def started(url: str, plan: Plan, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start the program; at the end of the block it is killed if it still runs."""
    settings = {"FAL_BASE_URL": url, "FAL_KEY": "emulator:key", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(() if plan.way == "ray" else ("-W", "error")),  # Ray gives warnings when it is imported
        *("-m", "tests.durability.client", json.dumps(attrs.asdict(plan))),
        cwd=ROOT,
        env={**os.environ, **settings, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            sys.stderr.write((await ended(process)).errors)  # may say why a test failed


async def ended(process: asyncio.subprocess.Process) -> Ran:
    """Wait until the program has ended. If it was killed, its last line may be incomplete. Ray prints, too."""
    out, errors = await process.communicate()
    printed = out.decode().splitlines(keepends=True)
    lines = [json.loads(line) for line in printed if line.startswith("{") and line.endswith("}\n")]
    assert process.returncode is not None
    return Ran(
        status=process.returncode, items={line["n"]: line for line in lines}, errors=errors.decode()[-4000:]
    )
