"""A thread with an event loop, in which `with Emulator()` runs the emulator."""

from __future__ import annotations

import asyncio
import os
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVarTuple

from fal_async.emulator.event_loop import OTHER_LOOP

Ts = TypeVarTuple("Ts")

_STDLIB = sysconfig.get_path("stdlib")
_LIMIT = 10.0
"""Seconds within which the emulator must start, and stop; it gives cancelled endpoint functions 5 s."""


class LoopThread:
    """The thread; `loop` is its event loop.

    It is a daemon thread only for endpoint functions that block for ever: without them, `end` joins it.
    """

    def __init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="fal-emulator", daemon=True)
        self._begun = threading.Event()
        self._blocks = False
        self._process = os.getpid()
        self._end: asyncio.Event | None = None
        self._thread.start()
        self._begun.wait()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=_LoopOfThread) as runner:
            self.loop: asyncio.AbstractEventLoop = runner.get_loop()
            runner.run(self._until_end())

    async def _until_end(self) -> None:
        self._end = asyncio.Event()
        self._begun.set()
        await self._end.wait()

    @property
    def is_here(self) -> bool:
        """Whether the thread is one of this process: a forked process has only the thread that forked it."""
        return os.getpid() == self._process

    def complete(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the loop until it ends. RuntimeError if it takes too long."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            future.result(_LIMIT)
        except TimeoutError:
            if future.done():
                raise  # by the coroutine
            self._blocks = True
            raise RuntimeError(self._blocked()) from None
        finally:
            future.cancel()

    def end(self) -> None:
        """Cancel what still runs in the loop, close it, and end the thread. RuntimeError if it is blocked."""
        self.loop.call_soon_threadsafe(self._stop)
        self._thread.join(0 if self._blocks else _LIMIT)
        if self._thread.is_alive() and not self._blocks:
            raise RuntimeError(self._blocked())

    def _stop(self) -> None:
        if self._end is not None:
            self._end.set()

    def _blocked(self) -> str:
        stack = traceback.extract_stack(sys._current_frames().get(self._thread.ident or 0))
        # The innermost line is often in a lock of the standard library.
        lines = [
            f"{entry.filename}:{entry.lineno}" for entry in stack if not entry.filename.startswith(_STDLIB)
        ]
        position = lines[-1] if lines else "an unknown line"
        return (
            f"the emulator's thread did not respond within {_LIMIT:g} s, and is at {position}: does an endpoint "
            "function block it? An endpoint function waits with `await`, as in `await job.sleep(1)`"
        )


class _LoopOfThread(asyncio.SelectorEventLoop):
    """An event loop that reports if another thread sets its futures, such as by `asyncio.Event.set`.

    asyncio's own loop would not notice the new value before its next I/O, so that a test would hang.
    """

    def __init__(self) -> None:
        super().__init__()
        self._owner = threading.get_ident()

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        if threading.get_ident() == self._owner:
            return super().call_soon(callback, *args, context=context)
        self.call_soon_threadsafe(
            callback, *args, context=context
        )  # so that the endpoint ends, and `stop` as well
        raise RuntimeError(OTHER_LOOP)
