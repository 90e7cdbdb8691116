"""Ctrl-C in a program with a batch: the first leaves the batch, a second exits, and the next run continues."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fal_async.emulator import Emulator, Fault
from tests.quick import session_on

PROGRAM = """
import asyncio, signal, sys
from fal_async import Hosts, Session

# If the suite runs in the background, it ignores SIGINT, and its child processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

async def main():
    async with Session("emulator:key", hosts=Hosts.local(sys.argv[1]), ledger=sys.argv[2]) as fal:
        async with fal.map("me/slow", ({"n": n} for n in range(100)), concurrency=4) as batch:
            async for item in batch:
                print(item.index)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to send")
async def test_a_second_interrupt_ends_the_program_at_once_and_the_next_run_continues(
    emulator: Emulator, tmp_path: Path
) -> None:
    released = asyncio.Event()

    @emulator.endpoint("me/slow")
    async def slow(input: Any) -> Any:
        await released.wait()
        return input

    emulator.faults.add(Fault.stall(1000, on="cancel", times=None, taken=False))
    ledger = tmp_path / "runs.db"
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, emulator.url, str(ledger), stderr=subprocess.PIPE
    )
    while sum(job.state == "IN_PROGRESS" for job in emulator.jobs.values()) < 2 or len(emulator.jobs) < 4:
        await asyncio.sleep(0.02)
    await emulator.wait_for("status", 6, timeout=30)
    program.send_signal(signal.SIGINT)
    await emulator.wait_for("cancel", timeout=30)
    program.send_signal(signal.SIGINT)
    _, words = await program.communicate()

    assert program.returncode == -signal.SIGINT
    assert b"the batch was left" in words
    emulator.faults.clear()
    released.set()
    async with session_on(emulator, ledger=ledger) as fal:
        items = await fal.map("me/slow", ({"n": n} for n in range(4))).collect()
    assert all(item.ok for item in items)
    assert len(emulator.jobs) == 4
