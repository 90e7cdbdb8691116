"""How far a batch is. The numbers are counted as things happen, so reading them costs almost nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal

import attrs

_WINDOW = 60.0
"""Seconds over which the rate is taken. An average over the whole run would hide that it has stalled."""


@attrs.frozen(kw_only=True)
class BatchSummary:
    """The numbers of a batch at one moment: `batch.summary`.

    Attributes:
        total: number of inputs; None while it is unknown: `inputs` has no length and is not exhausted yet.
        done: items that ended with a result, those from the ledger included.
        failed: items that ended with an error, those from the ledger included. Uncertain ones don't count.
        uncertain: items that ended with a SubmissionUncertainError: fal may or may not have taken their request.
        running: requests that a runner worked on when their status was last seen.
        queued: requests that wait for a runner, or are being submitted.
        from_ledger: items that had ended in an earlier run; they count in `done`, `failed` or `uncertain`, too.
        cost: cost of the run over all processes, by list price; None while no price is known.
        spent: the part of `cost` that this process caused; None while no price is known.
        unpriced: requests that ended without a known cost.
        rate: items per second, over the last 60 seconds at most, without those from the ledger.
        elapsed: seconds since the batch began, until it ended.
        eta: estimated seconds until the end, at this `rate`; None if `total` is unknown, `rate` is 0, or the batch
            has ended.
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
    """Counts what happens in a batch, for its summary.

    Args:
        total: number of inputs, if it is known.
        now: returns seconds on a monotonic clock.
        changed: called after each change.
    """

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
        """Items that ended, and failed, in this process: without those that an earlier run had ended."""
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
        """Items that have ended, in whichever way."""
        return self.done + self.failed + self.uncertain

    def begin(self) -> None:
        """Start the clock."""
        self._began = self._now()

    def end(self) -> None:
        """Stop the clock. Calling it twice is allowed."""
        if self._over is None:
            self._over = self._now()

    def end_of_item(self, *, from_ledger: bool) -> None:
        """Note that one more item has ended; the caller has counted it as done, failed or uncertain."""
        if from_ledger:
            self.from_ledger += 1
        else:
            self._note(self._now())
        self.changed()

    def price(self, cost: Decimal | None) -> None:
        """Note that one more request that fal took has ended. `cost`: None if it is not known."""
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
        """Count by the second: an entry for each item would grow with their number."""
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
