"""The callers that wait for one keyed request, and those that watch its changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fal_async.keyed.call import Ended


class Joined:
    """The callers of one request. A caller that is cancelled does not affect the others.

    Attributes:
        outcome: the outcome of the request; None as long as it is not known.
        is_kept: see `Driver.is_kept`; False before the first caller has left.
    """

    def __init__(self, outcome: Ended | None = None) -> None:
        self.outcome: Ended | None = outcome
        self.is_kept: bool = False
        self._waiting: list[asyncio.Future[Ended]] = []
        self._watching: list[Callable[[], None]] = []

    @property
    def is_awaited(self) -> bool:
        """Whether a caller waits for the outcome, or watches the changes."""
        return bool(self._waiting or self._watching)

    async def ended(self) -> Ended:
        """Wait for the outcome. Cancelling is safe: the request continues."""
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
        """Call `on_change` on each change; return a function that stops these calls."""
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
        """Give the outcome to all waiting callers, and notify the watchers."""
        self.outcome = outcome
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(outcome)
        self.changed()
