"""Handles Ctrl-C on the command line: the first one cancels the work, the second one exits at once."""

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
    """Run `work`, and cancel it on Ctrl-C or SIGTERM.

    A second signal exits at once, without a message. No further Python code runs then, so that only data that is
    already on disk survives.

    Args:
        work: returns an exit status.
        message: printed on standard error after the first signal.

    Returns:
        The exit status of `work`; 130 after Ctrl-C, 143 after SIGTERM.
    """
    return asyncio.run(_cancellable(work, message))


async def _cancellable(work: Coroutine[Any, Any, int], message: str) -> int:
    task = asyncio.ensure_future(work)
    with _Interrupts(task, message).handled() as interrupts:
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
    def handled(self) -> Iterator[_Interrupts]:
        # `loop.add_signal_handler` would not notice the second signal while the loop is blocked, and asyncio.run
        # waits for all tasks even after the second one.
        # A signal that the shell told the process to ignore, such as Ctrl-C of a background job, stays ignored.
        handled = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._handle) for number in handled}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
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
