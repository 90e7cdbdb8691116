"""Ctrl-C, as the command line takes it: the first one leaves in order, the second one at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine, Iterator
from types import FrameType
from typing import Any

from fal_async.cli import say

_SHOW_CURSOR = "\033[?25h"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_until_interrupted(work: Coroutine[Any, Any, int], message: str) -> int:
    """The exit status of `work`; 130 if Ctrl-C (143: SIGTERM) cancelled it. `message`: what is said then.

    The second signal ends the process where it is, without a word: what is on disk is all that is kept.
    """
    return asyncio.run(_cancellable(work, message))


async def _cancellable(work: Coroutine[Any, Any, int], message: str) -> int:
    task = asyncio.ensure_future(work)
    with _Interrupts(task, message).heard() as interrupts:
        try:
            status = await task
        except asyncio.CancelledError:
            if interrupts.number is None:
                raise
    return status if interrupts.number is None else 128 + interrupts.number


class _Interrupts:
    def __init__(self, task: asyncio.Task[int], message: str) -> None:
        self.number: int | None = None
        self._task, self._message = task, message

    @contextlib.contextmanager
    def heard(self) -> Iterator[_Interrupts]:
        # Not by the loop, which could not hear the second one while something holds it up; nor by asyncio.run,
        # which waits for everything at the second one, too.
        # What the shell made us ignore, such as Ctrl-C in the background, stays ignored.
        heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._hear) for number in heard}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, _: FrameType | None) -> None:
        if self.number is not None:
            _leave_at_once(number)
        self.number = number
        self._task.get_loop().call_soon_threadsafe(self._leave)

    def _leave(self) -> None:
        say(self._message)
        self._task.cancel()


def _leave_at_once(number: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        if os.isatty(2):
            os.write(2, _SHOW_CURSOR.encode())
    os._exit(128 + number)
