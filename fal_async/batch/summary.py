"""How far a batch is: counted as things happen, so that asking costs nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal

import attrs

_WINDOW = 60.0
"""Seconds over which the rate is taken: an average of the whole run would hide that it stands still."""


@attrs.frozen(kw_only=True)
class BatchSummary:
    """How far a batch is.

    Attributes:
        total: how many inputs there are; None where `inputs` does not tell before it is exhausted.
        done, failed: items that ended well, and with an error; those from the ledger too.
        uncertain: items of which nobody knows whether fal has taken them. Not among `failed`.
        running: requests that a runner works on, as last seen.
        queued: requests that wait for a runner, or are being submitted.
        from_ledger: items that had ended before.
        cost: of the run in all processes, by list price; None while no price is known.
        spent: of this process alone.
        unpriced: requests that ended without a known cost.
        rate: items per second that ended lately, without those from the ledger.
        elapsed: seconds since the first input was asked for.
        eta: seconds that the rest takes at this rate; None where it can't be told.
    """

    total: int | None = None
    done: int = 0
    failed: int = 0
    uncertain: int = 0
    running: int = 0
    queued: int = 0
    from_ledger: int = 0
    cost: Decimal | None = None
    spent: Decimal | None = None
    unpriced: int = 0
    rate: float = 0.0
    elapsed: float = 0.0
    eta: float | None = None


class Tally:
    """Counts. `now` gives seconds on a clock that never goes back; `changed` is called after each change."""

    def __init__(self, total: int | None, now: Callable[[], float], changed: Callable[[], None]) -> None:
        self.total: int | None = total
        self.done: int = 0
        self.failed: int = 0
        self.uncertain: int = 0
        self.running: int = 0
        self.queued: int = 0
        self.from_ledger: int = 0
        self.ended_anew: int = 0
        self.failed_anew: int = 0
        """Of those that ended, those of which an earlier run did not know it."""
        self.unpriced: int = 0
        self.accepted: bool = False
        """Whether fal has taken a request of this batch in this process."""
        self.cost: Decimal | None = None
        self.spent: Decimal | None = None
        self.changed: Callable[[], None] = changed
        self._now = now
        self._began: float | None = None
        self._over: float | None = None
        self._lately: deque[list[float]] = deque()

    @property
    def ended(self) -> int:
        """Items that have ended, however."""
        return self.done + self.failed + self.uncertain

    def begin(self) -> None:
        """The clock runs from here."""
        self._began = self._now()

    def end(self) -> None:
        """The clock stands from here. Ending twice is no error."""
        if self._over is None:
            self._over = self._now()

    def end_of_item(self, *, from_ledger: bool) -> None:
        """One more has ended, and was counted as what."""
        if from_ledger:
            self.from_ledger += 1
        else:
            self._note(self._now())
        self.changed()

    def price(self, cost: Decimal | None) -> None:
        """One more request that fal took has ended."""
        if cost is None:
            self.unpriced += 1
        else:
            self.spent = cost + (self.spent or 0)
            self.cost = cost + (self.cost or 0)

    def summary(self) -> BatchSummary:
        elapsed = self._elapsed()
        rate = self._rate()
        return BatchSummary(
            total=self.total,
            done=self.done,
            failed=self.failed,
            uncertain=self.uncertain,
            running=self.running,
            queued=self.queued,
            from_ledger=self.from_ledger,
            cost=self.cost,
            spent=self.spent,
            unpriced=self.unpriced,
            rate=rate,
            elapsed=elapsed,
            eta=self._eta(rate),
        )

    def _elapsed(self) -> float:
        if self._began is None:
            return 0.0
        return (self._now() if self._over is None else self._over) - self._began

    def _note(self, now: float) -> None:
        """By the second: an entry for each item would grow with their number."""
        if self._lately and now - self._lately[-1][0] < 1.0:
            self._lately[-1][1] += 1
            return
        self._lately.append([now, 1])
        while now - self._lately[0][0] > _WINDOW:
            self._lately.popleft()

    def _rate(self) -> float:
        now = self._now() if self._over is None else self._over
        window = min(_WINDOW, self._elapsed())
        if window <= 0:
            return 0.0
        return sum(count for at, count in self._lately if now - at <= window) / window

    def _eta(self, rate: float) -> float | None:
        if self.total is None or self._over is not None:
            return None
        left = self.total - self.ended
        if left <= 0:
            return 0.0
        return left / rate if rate > 0 else None
