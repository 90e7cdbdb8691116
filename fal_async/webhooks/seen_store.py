"""De-duplication of webhook deliveries: fal delivers at least once, over an hour or two (protocol 8.2)."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from typing import Protocol


class Claim(enum.StrEnum):
    """What a store says about an event."""

    NEW = "new"
    """Nobody has it: who asked handles it."""
    BUSY = "busy"
    """Somebody is handling it now. Answered with 503: if that one fails, fal still comes again."""
    DONE = "done"
    """It was handled. Answered with 200 and otherwise ignored."""


class SeenStore(Protocol):
    """Which events were handled, by their key (the request id; both ids are on the event).

    A store that several processes share needs one atomic step in `claim`, such as `SET key value NX EX 120`,
    with a time limit: else a process that dies in the middle keeps the event for ever.
    """

    async def claim(self, key: str) -> Claim: ...

    async def done(self, key: str) -> None:
        """It was handled. Keep that for two hours at least: so long may deliveries be repeated."""

    async def release(self, key: str) -> None:
        """It could not be handled: the next delivery may try."""


class MemoryStore:
    """The default: for one process. Keeps a key for `keep` seconds (default 3 h), and at most `limit` keys."""

    def __init__(
        self, *, keep: float = 3 * 3600.0, limit: int = 100_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keep, self._limit, self._clock = keep, limit, clock
        self._busy: set[str] = set()
        self._done: dict[str, float] = {}

    async def claim(self, key: str) -> Claim:
        self._drop_the_old()
        if key in self._done:
            return Claim.DONE
        if key in self._busy:
            return Claim.BUSY
        self._busy.add(key)
        return Claim.NEW

    async def done(self, key: str) -> None:
        self._busy.discard(key)
        self._done[key] = self._clock()

    async def release(self, key: str) -> None:
        self._busy.discard(key)

    def _drop_the_old(self) -> None:
        # In order of time: dicts keep the order in which keys came.
        oldest = self._clock() - self._keep
        while self._done:
            key = next(iter(self._done))
            if self._done[key] > oldest and len(self._done) <= self._limit:
                return
            del self._done[key]
