"""`max_cost=`: lets a batch submit only as much as its limit allows, whatever is running or uncertain."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal

import attrs

from fal_async.batch.summary import BatchSummary
from fal_async.errors import BatchStoppedError
from fal_async.ledger.store import Costs
from fal_async.protocol.amounts import dollars, product, total

_SHARE = 20
"""The costs are read again after this multiple of the seconds that reading takes: others may have submitted."""
_CLOSE = 50
"""The costs are read before each submit if the limit has room for fewer submits than this."""


@attrs.frozen(kw_only=True)
class Amounts:
    """The amounts of a run at one moment, in US dollars.

    Attributes:
        spent: the known costs.
        reserved: what the other submits may cost: those that run, that are uncertain, or whose cost is not known.
        next: what one more submit may cost.
    """

    spent: Decimal
    reserved: Decimal
    next: Decimal

    def fits(self, limit: Decimal, submits: int = 1) -> bool:
        """Return whether so many more submits stay within the limit; default 1."""
        return total((self.spent, self.reserved, product(self.next, Decimal(submits)))) <= limit


class CostLimit:
    """Reserves the cost of each submit before it is sent, so that submits at the same time can't exceed the limit.

    A submit whose cost is not known is counted with the highest cost that was seen, or with the estimate if that is
    higher. If the limit has no room for a further submit, the submit waits, because running requests may cost less
    than was reserved for them. If all items of the batch wait, the batch is stopped.

    Args:
        limit: `max_cost=`.
        estimate: what one submit is expected to cost.
        costs: returns what all submits of the run cost.
        way_out: the end of the error, which says what to do if the limit is reached.
        summary: returns the numbers of the batch, given the costs of the run.
        now: returns the seconds of a monotonic clock.
    """

    def __init__(
        self,
        limit: Decimal,
        estimate: Decimal,
        costs: Callable[[], Awaitable[Costs]],
        way_out: str,
        summary: Callable[[Costs], BatchSummary],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._estimate, self._read_costs = limit, estimate, costs
        self._way_out, self._summary, self._now = way_out, summary, now
        self._costs = Costs()
        self._missing = 0
        """Number of submits that `_costs` may lack."""
        self._unbooked = 0
        """Number of running submits that the run may lack, because fal has not responded yet."""
        self._is_old = True
        """Whether anything of this batch has changed since `_costs` was read."""
        self._read_again_at = 0.0
        self._items = self._waiting = 0
        self._turn = asyncio.Lock()
        self._news = asyncio.Event()
        self._error: BatchStoppedError | None = None

    @property
    def amounts(self) -> Amounts:
        """The amounts, as far as this process knows them."""
        costs = self._costs
        each = max(self._estimate, costs.highest or self._estimate)
        unknown = costs.open + costs.unpriced + self._missing
        return Amounts(spent=costs.known or Decimal(0), reserved=product(each, Decimal(unknown)), next=each)

    @contextlib.contextmanager
    def item(self) -> Iterator[None]:
        """Count an item while its request is made. It may wait for room, or make room when its request ends."""
        self._items += 1
        try:
            yield
        finally:
            self._items -= 1
            self.note()

    @contextlib.contextmanager
    def idle(self) -> Iterator[None]:
        """Do not count an item while it only waits for the request of another item."""
        self._items -= 1
        self.note()
        try:
            yield
        finally:
            self._items += 1

    @contextlib.asynccontextmanager
    async def submitting(self) -> AsyncIterator[None]:
        """Wait for room, and reserve it until the run has the submit, which is when the block is left.

        Raises BatchStoppedError if there will be no room, or if the batch was stopped.
        """
        await self._reserve()
        try:
            yield
        finally:
            self._unbooked -= 1
            self.note()

    @property
    def is_over(self) -> bool:
        """Whether nothing more is reserved."""
        return self._error is not None

    def stop(self) -> None:
        """Reserve nothing more, because the batch was stopped or left."""
        if self._error is None:
            self._error = BatchStoppedError("not submitted, because the batch was stopped", reason="max_cost")
        self._news.set()

    def note(self) -> None:
        """Note that the run has changed: a submit is stored, or has ended. A submit that waits may have room."""
        self._is_old = True
        self._news.set()

    async def _reserve(self) -> None:
        self._waiting += 1
        self._news.set()  # the item that waits for room may be the last one that does not wait
        try:
            async with self._turn:
                while not await self._has_room():
                    await self._until_news()
                self._missing += 1
                self._unbooked += 1
        finally:
            self._waiting -= 1

    async def _has_room(self) -> bool:
        if self._error is not None:
            raise copy.copy(self._error)
        is_close = not self.amounts.fits(self._limit, _CLOSE)
        if is_close or self._now() >= self._read_again_at:
            await self._read()
        if not self.amounts.fits(self._limit) and self._is_old:
            await self._read()
        return self._error is None and self.amounts.fits(self._limit)

    async def _read(self) -> None:
        """Read the costs. Submits that run meanwhile count twice until the next time, rather than not at all."""
        self._is_old = False
        unbooked, began = self._unbooked, self._now()
        self._costs = await self._read_costs()
        self._missing = unbooked
        ended = self._now()
        self._read_again_at = ended + _SHARE * (ended - began)

    async def _until_news(self) -> None:
        """Wait for a change. Raises BatchStoppedError if none can come, because all items wait for room."""
        if self._error is None and self._waiting >= self._items and not self._is_old:
            self._error = self._exhausted()
            raise copy.copy(self._error)
        self._news.clear()
        if self._error is None and not self._is_old:
            await self._news.wait()

    def _exhausted(self) -> BatchStoppedError:
        amounts = self.amounts
        return BatchStoppedError(
            f"max_cost={dollars(self._limit)} has no room for a request of {dollars(amounts.next)}: "
            f"{dollars(amounts.spent)} spent, {dollars(amounts.reserved)} reserved. {self._way_out}",
            reason="max_cost",
            summary=self._summary(self._costs),
        )
