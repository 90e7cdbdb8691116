"""The price of a batch's endpoint, fetched before the first submit, and fal's estimate of what a call costs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Protocol, TypeVar

import attrs

from fal_async.batch.shown_values import short
from fal_async.errors import AuthenticationError, ConfigurationError, FalError, TransportTimeoutError
from fal_async.protocol.platform.price_cache import CURRENCY, PriceCache
from fal_async.protocol.platform.prices import Estimate, Price

logger: logging.Logger = logging.getLogger("fal_async")

T = TypeVar("T")
_PATIENCE = 5.0
"""Seconds to wait for a price that only tells costs. Without it the batch goes on."""
_PATIENCE_FOR_LIMIT = 30.0
"""Seconds to wait for a price or an estimate without which `max_cost=` can't be obeyed."""


class PriceList(Protocol):
    """The part of `fal.platform` that is used here."""

    def pricing(self, endpoint_ids: str) -> Awaitable[Sequence[Price]]: ...

    async def estimate(self, *, calls: Mapping[str, int]) -> Estimate: ...


@attrs.frozen(kw_only=True, eq=False, repr=False)
class EndpointPrice:
    """The price of one endpoint, for one account.

    Attributes:
        platform: returns the platform client, which is loaded only if a price is fetched.
        known: the prices of the session. `PriceList.pricing` keeps the prices that it fetches there.
    """

    endpoint_id: str
    platform: Callable[[], PriceList]
    known: PriceCache
    _one_at_a_time: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    async def fetch(self) -> None:
        """Fetch the price unless it is known. If that fails, or takes long, costs stay unknown."""
        if not self.known.is_to_be_asked(self.endpoint_id, time.time()):
            return
        async with self._one_at_a_time:
            if self.known.is_to_be_asked(self.endpoint_id, time.time()):
                found = await self._price(_PATIENCE)
                if not isinstance(found, Price):
                    self.known.fail(self.endpoint_id, time.time())
                    logger.info("the price of %s is not known: %s", self.endpoint_id, found)

    async def of_one_call(self, max_cost: Decimal) -> Decimal:
        """Return what one call is expected to cost: by fal's estimate, else the price of one unit.

        Raises ConfigurationError if neither is known, or if they are in another currency than `max_cost`;
        AuthenticationError if fal refuses the API key.
        """
        price, estimate = await asyncio.gather(self._price(_PATIENCE_FOR_LIMIT), self._estimate())
        for found in (price, estimate):
            if isinstance(found, Price | Estimate) and found.currency != CURRENCY:
                raise ConfigurationError(
                    f"max_cost is in {CURRENCY}, but fal's prices for this account are in {found.currency}: omit "
                    f"max_cost (endpoint {short(self.endpoint_id)})"
                )
        if isinstance(estimate, Estimate) and estimate.total_cost > 0:
            return estimate.total_cost
        if isinstance(price, Price):
            return price.unit_price
        cause = price if isinstance(price, FalError) else None
        if isinstance(cause, AuthenticationError):
            raise cause
        raise ConfigurationError(
            f"omit max_cost={max_cost}, or check the endpoint id: fal tells no price of {short(self.endpoint_id)}"
            f"{'' if cause is None else f' ({cause})'}"
        ) from cause

    async def _price(self, patience: float) -> Price | FalError | None:
        """Return the price; None if fal's answer does not have it."""
        cached = self.known.find(self.endpoint_id, time.time())
        if cached is not None:
            return cached.price
        try:
            prices = await _within(patience, self.platform().pricing(self.endpoint_id))
        except FalError as error:
            return _failure(error)
        return next((price for price in prices if price.endpoint_id == self.endpoint_id), None)

    async def _estimate(self) -> Estimate | FalError:
        try:
            calls = {self.endpoint_id: 1}
            return await _within(_PATIENCE_FOR_LIMIT, self.platform().estimate(calls=calls))
        except FalError as error:
            return _failure(error)


async def _within(seconds: float, answer: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except FalError:
        raise  # some of them are a TimeoutError, too
    except TimeoutError as error:
        raise TransportTimeoutError(f"fal told no price within {seconds:g} s") from error


def _failure(error: FalError) -> FalError:
    if error.from_caller:
        raise error
    return error
