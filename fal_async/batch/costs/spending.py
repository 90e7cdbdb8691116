"""What the submits of one batch cost: counted for its summary, and limited by `max_cost=`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from decimal import Decimal

import attrs

from fal_async.batch.costs.cost_limit import CostLimit
from fal_async.batch.costs.endpoint_price import EndpointPrice
from fal_async.batch.summary import BatchSummary, Tally
from fal_async.ledger.store import Costs


@attrs.define(kw_only=True, eq=False, repr=False)
class Spending:
    """Counts and limits what the submits of one batch cost. It implements `keyed/call.py: Payment`.

    Attributes:
        price: the price of the endpoint.
        limit: `max_cost=`, in US dollars; None: no limit.
        is_shown: whether costs are shown or stored, so that the price is fetched even without a limit.
        costs: returns what all submits of the run cost, with a ledger also those of other processes. It must have
            each submit of this batch from the moment when `submitting` is left.
        way_out: the end of the error that says that the limit is reached.
    """

    tally: Tally
    price: EndpointPrice
    limit: Decimal | None
    is_shown: bool
    costs: Callable[[], Awaitable[Costs]]
    way_out: str
    _kept: CostLimit | None = attrs.field(default=None, init=False)

    async def begin(self) -> None:
        """Raise ConfigurationError if there is a limit, but neither a price nor an estimate."""
        if self.limit is not None:
            self.tally.max_cost = self.limit
            estimate = await self.price.of_one_call(self.limit)
            self._kept = CostLimit(self.limit, estimate, self.costs, self.way_out, self.set_costs)

    async def learn_price(self) -> None:
        """Fetch the price if it is of use. If that fails, the costs are not known."""
        if self.is_shown or self.limit is not None:
            await self.price.fetch()

    def item(self) -> AbstractContextManager[None]:
        """Enter while the request of an item, or a recovery, is made."""
        return contextlib.nullcontext() if self._kept is None else self._kept.item()

    def idle(self) -> AbstractContextManager[None]:
        """Enter, within `item`, while an item only waits for the request of another item."""
        return contextlib.nullcontext() if self._kept is None else self._kept.idle()

    @contextlib.asynccontextmanager
    async def submitting(self) -> AsyncIterator[None]:
        """Enter before each submit, which waits until the limit has room. Leave it when `costs` has the submit.

        Raises BatchStoppedError if there will be no room, or if the batch was stopped.
        """
        await self.learn_price()
        if self._kept is None:
            yield
            return
        async with self._kept.submitting():
            yield

    def ended(self, cost: Decimal | None, *, is_ours: bool) -> None:
        """Count a submit that has its outcome. `is_ours`: whether this process has submitted it."""
        self.tally.add_cost(cost, is_ours=is_ours)
        if self._kept is not None:
            self._kept.note()

    def set_costs(self, costs: Costs) -> BatchSummary:
        """Take over the costs of the run, and return the summary with them."""
        self.tally.cost, self.tally.unpriced = costs.known, costs.unpriced
        return self.tally.summary()

    @property
    def is_over(self) -> bool:
        """Whether nothing more is submitted, because the limit is reached or the batch was stopped."""
        return self._kept is not None and self._kept.is_over

    def stop(self) -> None:
        """Submit nothing more."""
        if self._kept is not None:
            self._kept.stop()


class OwnCosts:
    """The costs of a batch without a ledger: those of its own submits.

    Attributes:
        open: number of submits of which it will never be known how they ended.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.open: int = 0

    async def __call__(self) -> Costs:
        tally = self._tally
        return Costs(known=tally.cost, highest=tally.highest, unpriced=tally.unpriced, open=self.open)
