"""The time by which an emulator works; here that of the machine, divided by `speed` where a model works.

*Work* takes time: a model's sleep, the pause before a retry, the next attempt of a webhook. *Ends* come after a
time: a result's retention, a token, a start timeout, the limit of a session. The difference matters only to
`virtual_clock.py`: there work moves the time on, and ends pass along with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Literal, Protocol

ClockKind = Literal["real", "auto", "manual"]


class Timer(Protocol):
    def cancel(self) -> None: ...


class Activity:
    """A piece of work, such as that of a request, as a context manager."""

    def __init__(self, clock: Clock, name: str) -> None:
        self._clock = clock
        self.name: str = name

    def __enter__(self) -> Activity:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        return None

    async def sleep(self, seconds: float) -> None:
        """Sleep in the middle of the work, for the seconds that it takes on fal."""
        await self._clock.sleep(seconds)

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Wait for something that is neither work nor time, such as an event of a test."""
        yield


class Clock:
    """The time of the machine."""

    kind: ClockKind = "real"

    def __init__(self, speed: float = 1.0) -> None:
        self.speed: float = speed

    def open(self) -> None:
        """Begin, in the emulator's event loop."""

    async def close(self) -> None:
        """End; timers that are left never expire."""

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return time.time()

    def moved_by_hand(self) -> list[tuple[float, float]]:
        """Return from when to when time was moved on though nobody waited for it; real time moves like this."""
        return [(0.0, self.now())]

    def resume(self, now: float, by_hand: list[tuple[float, float]]) -> None:
        """Go on at the time of a saved state, and with what `moved_by_hand` returned; real time can't."""

    def on_the_machine(self, moment: float) -> float:
        """Return a moment of this clock as clients see it on their own: as far from now as it is here."""
        return moment

    def is_over(self, began: float, lifetime: float) -> bool:
        """Return whether what began at a moment (seconds since the epoch) has ended after a lifetime in seconds."""
        return self.now() >= began + lifetime

    def is_over_unnoticed(self, began: float, lifetime: float) -> bool:
        """Return the same for what no client knows of yet, such as a result that nobody has fetched."""
        return self.is_over(began, lifetime)

    async def sleep(self, seconds: float) -> None:
        """Wait for work that takes some seconds on fal."""
        await asyncio.sleep(seconds / self.speed)

    def after_work(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call a function after work that takes some seconds on fal."""
        return asyncio.get_running_loop().call_later(seconds / self.speed, callback, *args)

    def at_end(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call a function when something ends in some seconds; `speed` has no effect."""
        return asyncio.get_running_loop().call_later(seconds, callback, *args)

    @asynccontextmanager
    async def limit(self, seconds: float | None) -> AsyncIterator[None]:
        """Raise TimeoutError if the block takes longer than some seconds; None: no limit."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as scope:
            timer = None if seconds is None else self.at_end(seconds, lambda: scope.reschedule(loop.time()))
            try:
                yield
            finally:
                if timer is not None:
                    timer.cancel()

    def activity(self, name: str) -> Activity:
        """Return a piece of work, during which a virtual time moves only while the work sleeps.

        Args:
            name: what the warning that time stands still calls it.
        """
        return Activity(self, name)

    def stir(self) -> None:
        """Note that something happens, so that virtual time does not move at once."""

    async def advance(self, seconds: float) -> None:
        """Move virtual time on. Raise RuntimeError for real time."""
        raise RuntimeError(
            f"advance({seconds:g}): the emulator works in real time, which can't be moved: "
            'pass Emulator(clock="auto") or Emulator(clock="manual")'
        )
