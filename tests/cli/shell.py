"""Runs verbs in this process, against an emulator in a thread, because a verb has an event loop of its own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import pytest

from fal_async.cli import main
from fal_async.emulator import Emulator

LIMIT = 30
"""Seconds for the emulator's thread to start or to stop."""


@attrs.frozen
class Done:
    status: int | str | None
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The only line of standard output, decoded."""
        (line,) = self.lines
        return line

    @property
    def lines(self) -> list[Any]:
        """The lines of standard output, decoded."""
        return [json.loads(line) for line in self.out.splitlines()]


@attrs.frozen
class Shell:
    """A terminal's environment: an emulator, and the key and the address that point to it."""

    emulator: Emulator
    capsys: pytest.CaptureFixture[str]

    def run(self, *words: str) -> Done:
        """Run one verb."""
        try:
            status: int | str | None = main(words)
        except SystemExit as ended:
            status = ended.code
        captured = self.capsys.readouterr()
        return Done(status, captured.out, captured.err)


@contextmanager
def emulator_thread(**settings: Any) -> Iterator[Emulator]:
    """Run an emulator in a thread with an event loop of its own."""
    emulator = Emulator(**settings)
    began, loops = threading.Event(), []
    over: list[asyncio.Event] = []

    async def serve() -> None:
        async with emulator:
            loops.append(asyncio.get_running_loop())
            over.append(asyncio.Event())
            began.set()
            await over[0].wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert began.wait(LIMIT)
    try:
        yield emulator
    finally:
        loops[0].call_soon_threadsafe(over[0].set)
        thread.join(LIMIT)
        assert not thread.is_alive()
