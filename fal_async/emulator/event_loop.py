"""The event loop in which an emulator runs, and how other threads and loops call it.

`async with Emulator()` runs in the loop of the caller, `with Emulator()` in that of a thread of its own
(`loop_thread.py`). A public method that uses objects of the loop has one of the decorators `in_loop` and
`called_in_loop`, so that it can be called from every thread and every loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_ANSWER_LIMIT = 10.0
"""Seconds for which a caller in another thread waits for a method that does not wait itself."""
OTHER_LOOP = (
    "an asyncio object of one event loop was used in another: endpoint functions run in the emulator's event loop. "
    "Share plain values or a threading.Event with them instead"
)
_STOPPED = "the emulator was stopped before the call ended"
_NOT_RUNNING = (
    "the event loop in which the emulator was started is not running now: start the emulator in this one, or use "
    "`with Emulator() as emulator:`, which runs it in a thread with an event loop of its own"
)
_BLOCKED = (
    f"the emulator did not respond within {_ANSWER_LIMIT:g} s: does an endpoint function block its event loop, "
    "such as by time.sleep, or by waiting for a lock?"
)


class EmulatorLoop:
    """The event loop of one emulator; `loop` is None before the start and after the stop."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None

    async def run(
        self, function: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Await `function(...)` in the emulator's loop. Cancelling it cancels the function, and awaits its end.

        Raises:
            RuntimeError: If the loop does not run, or ends before the function.
        """
        loop = self.loop
        if loop is None or loop.is_closed() or loop is asyncio.get_running_loop():
            return await function(*args, **kwargs)
        if not loop.is_running():
            raise RuntimeError(_NOT_RUNNING)
        result: R = await _Call(loop, lambda: function(*args, **kwargs)).outcome()
        return result

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `function(...)` in the emulator's loop; in this thread if the loop is not running.

        Raises:
            RuntimeError: If the loop is blocked.
        """
        loop = self.loop
        if loop is None or not loop.is_running() or loop is running_loop():
            return function(*args, **kwargs)

        async def called() -> R:
            return function(*args, **kwargs)

        future = asyncio.run_coroutine_threadsafe(called(), loop)
        try:
            return future.result(_ANSWER_LIMIT)
        except concurrent.futures.CancelledError:
            raise RuntimeError(_STOPPED) from None
        except TimeoutError:
            if future.done():
                raise  # by the function itself
            future.cancel()
            raise RuntimeError(_BLOCKED) from None


def explanation(error: Exception) -> str | None:
    """Return `OTHER_LOOP` if an endpoint failed because it used an object of another event loop, else None."""
    known = ("different loop", "different event loop", "another event loop", OTHER_LOOP)
    return (
        OTHER_LOOP
        if isinstance(error, RuntimeError) and any(words in str(error) for words in known)
        else None
    )


class _Call:
    """A coroutine that runs in another loop than its caller."""

    def __init__(self, loop: asyncio.AbstractEventLoop, make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._loop, self._make = loop, make
        self._task: asyncio.Task[Any] | None = None
        self._ended: concurrent.futures.Future[Any] = concurrent.futures.Future()

    async def outcome(self) -> Any:
        ended = asyncio.wrap_future(self._ended)
        self._loop.call_soon_threadsafe(self._start)
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            if ended.cancelled():
                raise RuntimeError(_STOPPED) from None
            self._loop.call_soon_threadsafe(self._cancel)
            await asyncio.wait([ended])
            raise

    def _start(self) -> None:
        self._task = self._loop.create_task(self._make())
        self._task.add_done_callback(self._copy)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _copy(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self._ended.cancel()
        elif (error := task.exception()) is not None:
            self._ended.set_exception(error)
        else:
            self._ended.set_result(task.result())


class _HasLoop(Protocol):
    _loop: EmulatorLoop


S = TypeVar("S", bound=_HasLoop)


def in_loop(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Make an async method run in the emulator's loop, whichever loop calls it."""

    @wraps(method)
    async def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._loop.run(method, self, *args, **kwargs)

    return run


def called_in_loop(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Make a method run in the emulator's loop, whichever thread calls it."""

    @wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._loop.call(method, self, *args, **kwargs)

    return call


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
