"""Handles Ctrl-C on the command line: the first one cancels the work, the second one exits at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from types import FrameType
from typing import Any

from fal_async.cli.messages import say

_SHOW_CURSOR = "\033[?25h"
# SIGHUP: the terminal was closed. Windows has no such signal.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def run_until_interrupted(
    work: Coroutine[Any, Any, int],
    message: str | None = None,
    *,
    leave: Callable[[], Awaitable[object]] | None = None,
) -> int:
    """Run `work`, and end it on Ctrl-C, SIGTERM or SIGHUP.

    A second signal exits at once, without a message. No further Python code runs then, so that only data that is
    already on disk survives.

    Args:
        work: returns an exit status.
        message: printed on standard error after the first signal. None (default): no message.
        leave: called after the first signal and awaited before `work` is cancelled, such as `Session.aclose`, after
            which `work` may end by itself. None (default): `work` is cancelled at once.

    Returns:
        The exit status of `work`; 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
    """
    return asyncio.run(_cancellable(work, message, leave))


async def _cancellable(
    work: Coroutine[Any, Any, int], message: str | None, leave: Callable[[], Awaitable[object]] | None
) -> int:
    task = asyncio.ensure_future(work)
    with _Interrupts(task, message, leave).handled() as interrupts:
        try:
            status = await task
        except asyncio.CancelledError:
            if interrupts.number is None:
                raise
    return status if interrupts.number is None else 128 + interrupts.number


class _Interrupts:
    def __init__(
        self,
        task: asyncio.Task[int],
        message: str | None,
        leave: Callable[[], Awaitable[object]] | None,
    ) -> None:
        self.number: int | None = None
        self._task, self._message, self._leave = task, message, leave
        self._leaving: asyncio.Task[None] | None = None

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
        self._task.get_loop().call_soon_threadsafe(self._start_leaving)

    def _start_leaving(self) -> None:
        if self._message is not None:
            say(self._message)
        self._leaving = asyncio.ensure_future(self._end_work())

    async def _end_work(self) -> None:
        try:
            if self._leave is not None:
                await self._leave()
        finally:
            self._task.cancel()


def _leave_at_once(number: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        if os.isatty(2):
            os.write(2, _SHOW_CURSOR.encode())
    os._exit(128 + number)
