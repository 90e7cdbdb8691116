"""The callers that wait for one keyed request, and those that watch its changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fal_async.keyed.call import Ended


class Joined:
    """Callers join and leave independently: one that is cancelled does not affect the others.

    Attributes:
        outcome: the end of the request; None before.
        is_kept: a caller has left and wants the request to go on.
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
        """Wait for the end. Cancelling is safe, and ends only this wait."""
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
        """Call `on_change` on each change; return the function that ends the watch."""
        self._watching.append(on_change)

        def unwatch() -> None:
            if on_change in self._watching:
                self._watching.remove(on_change)

        return unwatch

    def changed(self) -> None:
        """Notify the watchers."""
        for on_change in tuple(self._watching):
            on_change()

    def end(self, outcome: Ended) -> None:
        """Give the end to all that wait, and notify the watchers."""
        self.outcome = outcome
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(outcome)
        self.changed()
