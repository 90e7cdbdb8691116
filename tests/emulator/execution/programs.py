"""Runs programs by `execute`, in this process, and by `fal-async emulator exec`, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator

import attrs

from fal_async.emulator import Emulator
from fal_async.emulator.execution.launcher import execute
from fal_async.emulator.serving.certificates import Certificates
from tests.cli.processes import START

EXEC = (*START, "emulator", "exec")


@attrs.define
class Ran:
    """A program that has ended, and the emulator that it had."""

    status: int
    emulator: Emulator


async def ran(*command: str, proxied: bool = False) -> Ran:
    """Run a program, whose output is that of this process: a test reads it by the fixture `capfd`."""
    emulators: list[Emulator] = []

    def make(certificates: Certificates) -> Emulator:
        emulators.append(Emulator(speed=50, ssl=certificates.context()))
        return emulators[0]

    status = await execute(command, make, folder=None, proxied=proxied, started=lambda *_: None)
    return Ran(status, emulators[0])


@contextlib.asynccontextmanager
async def started(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start `fal-async emulator exec` with these words; its standard streams are pipes."""
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *EXEC, *words, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # the program, too
        await process.wait()
