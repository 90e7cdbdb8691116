"""Describes the progress of a batch in words. All functions are pure functions of its summary."""

from __future__ import annotations

from decimal import Decimal

from fal_async.batch.summary import BatchSummary
from fal_async.protocol.amounts import dollars

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def counts(summary: BatchSummary) -> str:
    """Return `142 of 1,000 done (100 from the ledger), 2 failed, 38 running, 2 queued`."""
    done = f"{summary.done:,}" if summary.total is None else f"{summary.done:,} of {summary.total:,}"
    known = f" ({summary.from_ledger:,} from the ledger)" if summary.from_ledger else ""
    others = (
        (summary.failed, "failed"),
        (summary.uncertain, "uncertain"),
        (summary.running, "running"),
        (summary.queued, "queued"),
    )
    return ", ".join([f"{done} done{known}", *(f"{number:,} {what}" for number, what in others if number)])


def pace(summary: BatchSummary) -> str:
    """Return `1.4 a second, about 10 min left, cost $3.12, about $22.00 at the end`, as far as known, or ""."""
    known = []
    if summary.rate > 0:
        known.append(_rate(summary.rate))
    if summary.eta is not None:
        known.append(f"about {duration(summary.eta)} left")
    known += _costs(summary)
    return ", ".join(known)


def ending(summary: BatchSummary) -> str:
    """Return the last line of the display: the counts, the duration and the cost."""
    known = [counts(summary), f"took {duration(summary.elapsed)}"]
    if summary.cost is not None or summary.max_cost is not None:
        known.append(_cost(summary))
        if summary.spent is not None and summary.spent != summary.cost:
            known.append(f"{dollars(summary.spent)} of it now")
    return ", ".join(known)


def share(summary: BatchSummary) -> float | None:
    """Return the share of items that have ended, from 0 to 1; None if the total is not known."""
    if not summary.total:
        return None
    return min(1.0, _ended(summary) / summary.total)


def duration(seconds: float) -> str:
    """Return `45 s`, `12 min`, `3 h 20 min`, `2 d 5 h`."""
    whole = max(0, round(seconds))
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    if whole < 2 * _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < 2 * _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def _rate(rate: float) -> str:
    if rate >= 1:
        return f"{rate:,.1f} a second"
    return f"{rate * _MINUTE:.1f} a minute"


def _costs(summary: BatchSummary) -> list[str]:
    if summary.cost is None and summary.max_cost is None:
        return []
    known = [_cost(summary)]
    ended = _ended(summary)
    if summary.cost is not None and summary.total and 0 < ended < summary.total:
        known.append(f"about {dollars(summary.cost * summary.total / Decimal(ended))} at the end")
    return known


def _cost(summary: BatchSummary) -> str:
    return cost(summary.cost or Decimal(0), summary.unpriced, summary.max_cost)


def cost(amount: Decimal, unpriced: int, limit: Decimal | None = None) -> str:
    """Return `cost $3.12 of $20.00 without 2 of unknown price`."""
    allowed = "" if limit is None else f" of {dollars(limit)}"
    without = f" without {unpriced:,} of unknown price" if unpriced else ""
    return f"cost {dollars(amount)}{allowed}{without}"


def _ended(summary: BatchSummary) -> int:
    return summary.done + summary.failed + summary.uncertain
