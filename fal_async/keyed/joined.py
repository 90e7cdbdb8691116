"""Who waits for one keyed request, and who is told of its changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fal_async.keyed.call import Ended


class Joined:
    """Callers come and go: what one of them does, or has done to it, is of no concern to the others.

    Attributes:
        outcome: how it ended; None before.
        is_kept: a caller left that wants it to go on.
    """

    def __init__(self, outcome: Ended | None = None) -> None:
        self.outcome: Ended | None = outcome
        self.is_kept: bool = False
        self._waiting: list[asyncio.Future[Ended]] = []
        self._watching: list[Callable[[], None]] = []

    @property
    def is_awaited(self) -> bool:
        return bool(self._waiting or self._watching)

    async def ended(self) -> Ended:
        """Wait for the end. Cancelling it is safe, and ends this wait only."""
        if self.outcome is not None:
            return self.outcome
        waiting: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            raise

    def watch(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Call back on each change; gives what ends the watch."""
        self._watching.append(on_change)

        def unwatch() -> None:
            if on_change in self._watching:
                self._watching.remove(on_change)

        return unwatch

    def changed(self) -> None:
        """Tell all who watch."""
        for on_change in tuple(self._watching):
            on_change()

    def end(self, outcome: Ended) -> None:
        """Tell all who wait, and all who watch."""
        self.outcome = outcome
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(outcome)
        self.changed()
