"""The limit of `max_cost=`: whatever the order of events, what was sent never costs more than the limit."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import chain, count, repeat
from typing import Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async import BatchStoppedError
from fal_async.batch.costs.cost_limit import CostLimit
from fal_async.batch.summary import BatchSummary
from fal_async.ledger.store import Costs
from fal_async.protocol.amounts import product, total

ESTIMATE = Decimal("0.10")
How = Literal["done", "unpriced", "free", "refused", "uncertain"]


@attrs.frozen
class Submit:
    """What happens to one submit. The numbers are steps of the event loop before each event."""

    how: How
    cost: Decimal
    claimed_after: int
    accepted_after: int
    ended_after: int


SUBMITS = st.builds(
    Submit,
    how=st.sampled_from(["done", "done", "done", "unpriced", "free", "refused", "uncertain"]),
    cost=st.decimals(0, ESTIMATE, places=2),
    claimed_after=st.integers(0, 3),
    accepted_after=st.integers(0, 3),
    ended_after=st.integers(0, 6),
)


@attrs.define(eq=False)
class Row:
    """A submit in the ledger, with what it really costs."""

    truth: Decimal
    known: Decimal | None = None
    is_over: bool = False


class Run:
    """The run of a batch in a ledger, which takes some steps of the event loop to be read."""

    def __init__(self, before: list[Row], steps: list[int]) -> None:
        self.rows: list[Row] = list(before)
        self._steps = steps
        self._reads = count()

    async def costs(self) -> Costs:
        number = next(self._reads)
        steps = self._steps[number % len(self._steps)] if self._steps else 0
        await passed(steps)
        known = [row.known for row in self.rows if row.known is not None]
        costs = Costs(
            known=total(known) if known else None,
            highest=max(known, default=None),
            unpriced=sum(row.is_over and row.known is None for row in self.rows),
            open=sum(not row.is_over for row in self.rows),
        )
        await passed(steps)
        return costs

    @property
    def truth(self) -> Decimal:
        return total(row.truth for row in self.rows)


async def passed(steps: int) -> None:
    for _ in range(steps):
        await asyncio.sleep(0)


def limit_of(limit: Decimal, run: Run, *, reads_seldom: bool = False) -> CostLimit:
    # If the first reading seems to take long, the run is read again only when the limit is close.
    clock = chain((0, 0, 1000) if reads_seldom else (), repeat(1000))
    return CostLimit(
        limit, ESTIMATE, run.costs, "Run it again.", lambda _: BatchSummary(), lambda: float(next(clock))
    )


async def item(limit: CostLimit, run: Run, attempts: list[Submit]) -> bool:
    """Make the submits of one item as a batch does. Return whether the limit allowed all of them."""
    with limit.item():
        for attempt in attempts:
            try:
                async with limit.submitting():
                    await passed(attempt.claimed_after)
                    row = Row(truth=Decimal(0) if attempt.how in ("free", "refused") else attempt.cost)
                    run.rows.append(row)
                    await passed(attempt.accepted_after)
                    if attempt.how == "refused":
                        run.rows.remove(row)
            except BatchStoppedError:
                return False
            if attempt.how != "uncertain":
                await passed(attempt.ended_after)
                row.is_over = True
                row.known = None if attempt.how == "unpriced" else row.truth
                limit.note()
        return True


@given(
    limit=st.decimals("0.05", "1.5", places=2),
    items=st.lists(st.lists(SUBMITS, min_size=1, max_size=2), max_size=25),
    before=st.lists(st.decimals(0, ESTIMATE, places=2), max_size=4),
    steps=st.lists(st.integers(0, 4), max_size=4),
    reads_seldom=st.booleans(),
    times=st.sampled_from([1, 1, 1, 6]),
)
def test_submits_never_cost_more_than_the_limit_whatever_the_order_of_ends(
    limit: Decimal,
    items: list[list[Submit]],
    before: list[Decimal],
    steps: list[int],
    reads_seldom: bool,
    times: int,
) -> None:
    limit, items = limit * times, items * times  # the limit is close, or not close at first
    earlier = [Row(truth=cost) for cost in before]  # an earlier process does not know how they ended
    run = Run(earlier, steps)

    async def batch() -> list[bool]:
        kept = limit_of(limit, run, reads_seldom=reads_seldom)
        return await asyncio.gather(*(item(kept, run, attempts) for attempts in items))

    allowed = asyncio.run(batch())
    if run.rows != earlier:
        assert run.truth <= limit
    if not all(allowed):
        unknown = sum(row.known is None for row in run.rows)
        known = total(row.known for row in run.rows if row.known is not None)
        counted = total((known, product(ESTIMATE, Decimal(unknown))))
        assert counted + ESTIMATE > limit, "the batch was stopped although the limit had room"


async def test_a_submit_waits_for_running_ones_that_may_cost_less_than_was_reserved() -> None:
    run = Run([], [])
    limit = limit_of(Decimal("0.10"), run)
    cheap = [Submit("done", Decimal("0.01"), 0, 0, 5)]
    allowed = await asyncio.gather(*(item(limit, run, cheap) for _ in range(12)))
    assert allowed == [True] + [False] * 11, "the second one would exceed the limit by the estimate"
    run = Run([], [])
    limit = limit_of(Decimal("0.20"), run)
    allowed = await asyncio.gather(*(item(limit, run, cheap) for _ in range(12)))
    assert allowed.count(True) == 11
    assert run.truth == Decimal("0.11")


async def test_a_cost_above_the_estimate_is_reserved_for_all_later_submits() -> None:
    run = Run([Row(truth=Decimal("0.3"), known=Decimal("0.3"), is_over=True)], [])
    limit = limit_of(Decimal(1), run)
    dear = [Submit("done", Decimal("0.3"), 0, 0, 0)]
    assert [await item(limit, run, dear) for _ in range(3)] == [True, True, False]
    assert run.truth == Decimal("0.9")


async def test_the_error_names_the_limit_the_amounts_and_the_way_out() -> None:
    run = Run([Row(truth=Decimal("0.05")), Row(truth=Decimal(1), known=Decimal(1), is_over=True)], [])
    limit = limit_of(Decimal("2.5"), run)
    with pytest.raises(BatchStoppedError) as stopped, limit.item():
        async with limit.submitting():
            pass
    assert stopped.value.reason == "max_cost"
    assert stopped.value.message == (
        "max_cost=$2.50 has no room for a request of $1.00: $1.00 spent, $1.00 reserved. Run it again."
    )


async def test_stopping_the_batch_ends_the_wait_of_every_submit() -> None:
    run = Run([], [])
    limit = limit_of(Decimal("0.10"), run)
    opened = asyncio.Event()

    async def running() -> None:
        with limit.item():
            async with limit.submitting():
                await opened.wait()

    first = asyncio.create_task(running())
    await asyncio.sleep(0)
    others = [asyncio.create_task(item(limit, run, [Submit("free", Decimal(0), 0, 0, 0)])) for _ in range(3)]
    await asyncio.sleep(0)
    limit.stop()
    assert await asyncio.gather(*others) == [False] * 3
    opened.set()
    await first


async def test_a_cancelled_wait_leaves_no_reservation_behind() -> None:
    run = Run([], [1])
    limit = limit_of(Decimal("0.10"), run)
    opened = asyncio.Event()

    async def running() -> None:
        with limit.item():
            async with limit.submitting():
                await opened.wait()

    first = asyncio.create_task(running())
    await asyncio.sleep(0)
    waiting = asyncio.create_task(item(limit, run, [Submit("free", Decimal(0), 0, 0, 0)]))
    await passed(5)
    waiting.cancel()
    await asyncio.wait([waiting])
    opened.set()
    await first
    assert await item(limit, run, [Submit("done", Decimal("0.1"), 0, 0, 0)])


async def test_submits_of_other_processes_are_counted_when_the_run_is_read_again() -> None:
    run = Run([], [])
    limit = limit_of(Decimal("0.5"), run)
    dear = [Submit("done", Decimal("0.1"), 0, 0, 0)]
    assert await item(limit, run, dear)
    run.rows += [Row(truth=Decimal("0.1")), Row(truth=Decimal("0.1")), Row(truth=Decimal("0.1"))]
    assert [await item(limit, run, dear) for _ in range(2)] == [True, False]


async def test_submits_since_the_run_was_read_are_counted_even_if_it_is_read_seldom() -> None:
    run = Run([], [])
    limit = limit_of(Decimal(7), run, reads_seldom=True)
    dear = [Submit("done", Decimal("0.1"), 0, 0, 3)]
    allowed = await asyncio.gather(*(item(limit, run, dear) for _ in range(100)))
    assert (allowed.count(True), run.truth) == (70, Decimal(7))
