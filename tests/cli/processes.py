"""Runs verbs as separate processes: with pipes, or in a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import attrs

from fal_async.emulator import Emulator

ROOT = Path(__file__).parents[2]
# Without this, a process that is started in the background would ignore Ctrl-C, and one under nohup the end of its
# terminal.
START = (
    *(sys.executable, "-W", "error", "-c"),
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "signal.signal(signal.SIGHUP, signal.SIG_DFL); "
    "from fal_async.cli import main; sys.exit(main())",
)
CTRL_C = b"\x03"


@attrs.frozen
class Ended:
    status: int | None
    out: str
    err: str


def environment(emulator: Emulator, **more: str) -> dict[str, str]:
    own = {"PYTHONPATH": str(ROOT), "FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key}
    return {**os.environ, **own, **more}


@contextlib.asynccontextmanager
async def started(
    emulator: Emulator, *words: str, stdin: int = asyncio.subprocess.DEVNULL, **more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a verb whose standard streams are pipes."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *START, *words, env=environment(emulator, **more), stdin=stdin, stdout=pipe, stderr=pipe
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ended(process: asyncio.subprocess.Process, stdin: bytes | None = None) -> Ended:
    out, err = await process.communicate(stdin)
    return Ended(process.returncode, out.decode(), err.decode())


async def interrupted(process: asyncio.subprocess.Process) -> Ended:
    """Press Ctrl-C, and wait for the end."""
    process.send_signal(signal.SIGINT)
    return await ended(process)


class Terminal:
    """A verb in a terminal, which it controls: what it prints, and what is typed."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self._process, self._master = process, master
        self.shown = ""

    @property
    def is_closed(self) -> bool:
        return self._master < 0

    async def until(self, text: str) -> None:
        """Read until this text was shown. Raises EOFError if the verb ends before."""
        while text not in self.shown:
            self.shown += (await self._read()).decode(errors="replace")

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def close(self) -> None:
        """Close the window, without reading on."""
        os.close(self._master)
        self._master = -1

    async def end(self) -> int:
        """Read the rest, and return the exit status."""
        with contextlib.suppress(EOFError):
            while True:
                self.shown += (await self._read()).decode(errors="replace")
        return await self._process.wait()

    async def _read(self) -> bytes:
        loop = asyncio.get_running_loop()
        readable = loop.create_future()
        loop.add_reader(self._master, readable.set_result, None)
        try:
            await readable
            data = os.read(self._master, 65536)
        except OSError:  # Linux reports the end so
            data = b""
        finally:
            loop.remove_reader(self._master)
        if not data:
            raise EOFError(self.shown)
        return data


@contextlib.asynccontextmanager
async def terminal(
    emulator: Emulator, *words: str, start: Sequence[str] = START, **more: str
) -> AsyncIterator[Terminal]:
    """Start a verb in a terminal of its own. `start`: the program without the verb's words."""
    master, slave = os.openpty()
    variables = {"TERM": "xterm-256color", "COLUMNS": "120", **more}
    # `setsid` and the opened device make it the controlling terminal, so that Ctrl-C reaches the verb.
    takes_terminal = "import os, sys; os.setsid(); os.close(os.open(os.ttyname(0), os.O_RDWR)); "
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", takes_terminal + "os.execv(sys.argv[1], sys.argv[1:])", *start, *words),
        env=environment(emulator, **variables),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = Terminal(process, master)
    try:
        yield shown
        if shown.is_closed:
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if not shown.is_closed:
            shown.close()
