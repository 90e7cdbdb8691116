"""The programs of the chapter on engines: as files, as modules, and as worker processes that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from fal_async.emulator import Emulator, JobContext, ModelError
from tests.documents.code_blocks import blocks_of, environment

BLOCKS = blocks_of("fal_async/ledger/ENGINES.md", "procrastinate", "celery", "temporal", "dbos")
MODEL = "fal-ai/flux/schnell"
CAT = "a cat"
SECONDS = 30.0
"""Seconds after which a test gives up."""


@attrs.frozen
class Program:
    """A program of the chapter, saved as `pictures.py`, with the variables that it reads."""

    folder: Path
    variables: dict[str, str]

    @classmethod
    def saved(cls, name: str, folder: Path, emulator: Emulator, **variables: str) -> Program:
        (folder / "pictures.py").write_text(BLOCKS[name].program)
        return cls(folder, {"FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key, **variables})

    def module(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Import the program in this process, until the end of the test."""
        for name, value in self.variables.items():
            monkeypatch.setenv(name, value)
        spec = importlib.util.spec_from_file_location("pictures", self.folder / "pictures.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "pictures", module)
        spec.loader.exec_module(module)
        return module

    @asynccontextmanager
    async def process(self, *arguments: str) -> AsyncIterator[Worker]:
        """Run Python with these arguments in the program's folder. At the end the process group is killed."""
        path = os.pathsep.join([environment()["PYTHONPATH"], str(self.folder)])
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=self.folder,
            env=environment(**self.variables, PYTHONPATH=path, TMPDIR=str(self.folder)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        worker = Worker(process)
        reading = asyncio.create_task(worker.read())
        try:
            yield worker
        finally:
            worker.kill()
            await process.wait()
            await reading  # it ends when every process of the group has ended


@attrs.define
class Worker:
    """A worker's process group, and what it has printed so far."""

    process: asyncio.subprocess.Process
    lines: list[str] = attrs.field(factory=list)
    printed: asyncio.Condition = attrs.field(factory=asyncio.Condition)

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            async with self.printed:
                self.lines.append(line.decode())
                self.printed.notify_all()

    async def says(self, words: str, times: int = 1) -> None:
        """Wait until this many lines have these words."""
        try:
            async with asyncio.timeout(SECONDS), self.printed:
                await self.printed.wait_for(lambda: len(self.lines_with(words)) >= times)
        except TimeoutError:
            raise AssertionError("".join(self.lines)) from None

    def lines_with(self, words: str) -> list[str]:
        return [line for line in self.lines if words in line]

    async def status(self) -> int:
        """Wait until the process has ended, and return its exit status."""
        async with asyncio.timeout(SECONDS):
            return await self.process.wait()

    async def end(self) -> None:
        """Wait until the process has ended well."""
        assert await self.status() == 0, "".join(self.lines)

    async def stop(self) -> None:
        """Stop the worker as an operator does, and wait until it has ended well."""
        self.process.send_signal(signal.SIGTERM)
        await self.end()

    def kill_children(self) -> None:
        """Kill the child processes, but not the process that has started them."""
        pid = self.process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)

    def kill(self) -> None:
        """Kill every process of the group, as a machine that loses its power does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def slow_pictures(emulator: Emulator) -> asyncio.Event:
    """Make the model of the programs wait for the returned event."""
    release = asyncio.Event()

    @emulator.endpoint(MODEL)
    async def slow(input: Any, job: JobContext) -> Any:
        await release.wait()
        return {"images": [await job.file(b"picture", "image/png", "cat.png")]}

    return release


def refused_pictures(emulator: Emulator) -> None:
    """Make the model of the programs refuse every input."""

    @emulator.endpoint(MODEL)
    async def refuse(input: Any) -> Any:
        raise ModelError(422, [{"loc": ["body", "prompt"], "msg": "not this one", "type": "value_error"}])


def paid_once(emulator: Emulator) -> None:
    """Check that fal has exactly one request, which has ended well."""
    (job,) = emulator.jobs.values()
    assert job.answer is not None
    assert job.answer.status == 200
    assert (emulator.count("submit"), emulator.count("cancel")) == (1, 0)
