"""Remember which webhook events were handled: fal delivers at least once, for up to two hours (protocol 8.2).

Citations such as (protocol 8.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from typing import Protocol


class Claim(enum.StrEnum):
    """The result of `SeenStore.claim` for an event."""

    NEW = "new"
    """The event is claimed for the caller, who must handle it."""
    BUSY = "busy"
    """An earlier delivery of the event is still being handled. The receiver answers 503, and fal delivers again."""
    DONE = "done"
    """The event was already handled. The receiver answers 200 and does nothing."""


class SeenStore(Protocol):
    """Remembers which events were handled. The key of an event is its request id.

    A store that several processes share needs an atomic `claim`, such as `SET key value NX EX 120` in Redis. Claims
    must expire: if a process dies while it handles an event, that event could otherwise never be handled.

    `WebhookReceiver.receive` raises the errors of `claim` and `done`, and logs those of `release`.
    """

    async def claim(self, key: str) -> Claim:
        """Claim the event for the caller, unless it is already claimed or handled.

        After a cancellation the event may be claimed until the claim expires.

        Args:
            key: The request id.

        Returns:
            `Claim.NEW` if the caller must handle the event now, else `Claim.BUSY` or `Claim.DONE`.

        Raises:
            Exception: Whatever the store raises. The delivery then fails, and fal repeats it.
        """

    async def done(self, key: str) -> None:
        """Mark a claimed event as handled, for at least two hours.

        fal may repeat deliveries for that long (protocol 8.2). After a cancellation the event may still be claimed.

        Args:
            key: The request id.

        Raises:
            Exception: Whatever the store raises. The delivery then fails, and fal repeats it.
        """

    async def release(self, key: str) -> None:
        """Release a claim because the event could not be handled, so that the next delivery can claim it.

        After a cancellation the event may still be claimed.

        Args:
            key: The request id.

        Raises:
            Exception: Whatever the store raises. It is logged.
        """


class MemoryStore:
    """The default `SeenStore`, in the memory of one process.

    Args:
        keep: Seconds for which a handled event is remembered. Default 10,800 (3 h).
        limit: Maximum number of handled events that are remembered; above it the oldest are deleted. Default
            100,000.
        clock: Returns the time in seconds; for tests. Default `time.monotonic`.
    """

    def __init__(
        self, *, keep: float = 3 * 3600.0, limit: int = 100_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keep, self._limit, self._clock = keep, limit, clock
        self._busy: set[str] = set()
        self._done: dict[str, float] = {}

    async def claim(self, key: str) -> Claim:
        """Claim the event, unless it is already claimed or handled. Arguments as of `SeenStore.claim`."""
        self._delete_old_events()
        if key in self._done:
            return Claim.DONE
        if key in self._busy:
            return Claim.BUSY
        self._busy.add(key)
        return Claim.NEW

    async def done(self, key: str) -> None:
        """Mark a claimed event as handled. Arguments as of `SeenStore.done`."""
        self._busy.discard(key)
        self._done[key] = self._clock()

    async def release(self, key: str) -> None:
        """Release a claim. Arguments as of `SeenStore.release`."""
        self._busy.discard(key)

    def _delete_old_events(self) -> None:
        # A dict keeps insertion order, so the first key is the oldest.
        oldest = self._clock() - self._keep
        while self._done:
            key = next(iter(self._done))
            if self._done[key] > oldest and len(self._done) <= self._limit:
                return
            del self._done[key]
