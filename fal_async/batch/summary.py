"""The numbers of a batch. They are counted as events happen, so that reading them costs almost nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal

import attrs

from fal_async.protocol.amounts import total

_WINDOW = 60.0
"""Seconds over which the rate is averaged. An average over the whole run would hide that it has stalled."""


@attrs.frozen(kw_only=True)
class BatchSummary:
    """The numbers of a batch at one moment: `batch.summary`.

    Attributes:
        total: number of inputs; None while it is unknown, because `inputs` has no length and was not read to its
            end yet.
        done: number of items with a result, including those from the ledger.
        failed: number of items with an error, including those from the ledger, but not the uncertain ones.
        uncertain: number of items with a SubmissionUncertainError: fal may or may not have accepted their request.
        running: number of requests that a runner worked on when their status was last seen.
        queued: number of requests that wait for a runner, or are being submitted.
        from_ledger: number of items whose outcome an earlier run had stored in the ledger. They are also counted
            in `done`, `failed` or `uncertain`.
        cost: what all submits of the run cost by list price, in US dollars, as far as it is known; None while no
            cost is known. With a ledger those of all processes that share the run count: those of other processes
            as of the beginning, and again at the end.
        spent: the part of `cost` for what this process has submitted; None while no cost of it is known.
        max_cost: the limit of `cost`, in US dollars; None: no limit.
        unpriced: number of completed submits of the run whose cost is not known. Each attempt counts.
        rate: items per second, averaged over the last 60 seconds at most, without those from the ledger.
        elapsed: seconds since the batch began; once it has ended, the seconds that it took.
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
    max_cost: Decimal | None = None
    unpriced: int = 0
    rate: float = 0.0
    elapsed: float = 0.0
    eta: float | None = None

    def __str__(self) -> str:
        """Return the repr with rounded numbers, for `print`."""
        eta = None if self.eta is None else round(self.eta, 1)
        return repr(attrs.evolve(self, rate=round(self.rate, 2), elapsed=round(self.elapsed, 1), eta=eta))


class Tally:
    """The counters of one batch, from which its summary is made.

    Args:
        total: number of inputs; None if it is unknown.
        now: returns the seconds of a monotonic clock.
        changed: function to call after each change.
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
        """Of the items that ended, and that failed, those of this process. An earlier run had ended the others."""
        self.unpriced: int = 0
        self.accepted: bool = False
        """Whether fal has accepted a request of this batch in this process."""
        self.cost: Decimal | None = None
        self.spent: Decimal | None = None
        self.max_cost: Decimal | None = None
        self.highest: Decimal | None = None
        """The highest known cost of one submit of this batch."""
        self.changed: Callable[[], None] = changed
        self._now = now
        self._began: float | None = None
        self._over: float | None = None
        self._lately: deque[list[float]] = deque()

    @property
    def ended(self) -> int:
        """Number of items that have a result or an error."""
        return self.done + self.failed + self.uncertain

    def begin(self) -> None:
        """Start the clock."""
        self._began = self._now()

    def end(self) -> None:
        """Stop the clock. Calling it twice is allowed."""
        if self._over is None:
            self._over = self._now()

    def end_of_item(self, *, from_ledger: bool) -> None:
        """Note that one more item has ended. The caller has already counted it as done, failed or uncertain."""
        if from_ledger:
            self.from_ledger += 1
        else:
            self._note(self._now())
        self.changed()

    def add_cost(self, cost: Decimal | None, *, is_ours: bool) -> None:
        """Count a submit that has its outcome.

        `cost` is None if it is not known. `is_ours`: whether this process has submitted it.
        """
        if cost is None:
            self.unpriced += 1
            return
        self.cost = cost if self.cost is None else total((self.cost, cost))
        self.highest = cost if self.highest is None else max(self.highest, cost)
        if is_ours:
            self.spent = cost if self.spent is None else total((self.spent, cost))

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
            max_cost=self.max_cost,
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
        """Count the items of each second together, so that memory does not grow with the number of items."""
        if self._lately and now - self._lately[-1][0] < 1.0:
            self._lately[-1][1] += 1
            return
        self._lately.append([now, 1])
        while now - self._lately[0][0] > _WINDOW:
            self._lately.popleft()

    def _rate(self) -> float:
        """Return the items per second, over the last minute at most."""
        now = self._now() if self._over is None else self._over
        window = min(_WINDOW, self._elapsed())
        if window <= 0:
            return 0.0
        return sum(count for at, count in self._lately if now - at <= window) / window

    def _eta(self, rate: float) -> float | None:
        """Return the estimated seconds until the end; None if they can't be estimated, or if it has ended."""
        if self.total is None or self._over is not None:
            return None
        left = self.total - self.ended
        if left <= 0:
            return 0.0
        return left / rate if rate > 0 else None
