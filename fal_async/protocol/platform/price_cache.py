"""The prices that a session has learned, from which it computes what a request cost. Pure: "now" is an argument."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING

import attrs

from fal_async.errors import ConfigurationError
from fal_async.protocol.amounts import product

if TYPE_CHECKING:
    from fal_async.protocol.platform.prices import Price

FRESH = 3600.0
"""Seconds after which a price is fetched again when it is needed. fal changes prices rarely."""
USED = 24 * 3600.0
"""Seconds for which costs are computed with a price that was not fetched again."""
NOT_ASKED_AGAIN = 300.0
"""Seconds for which a price that could not be fetched is not asked for again, unless it is necessary."""
CURRENCY = "USD"
"""The currency of all costs. fal bills in it, and amounts of two currencies can't be added."""


@attrs.frozen(kw_only=True)
class CachedPrice:
    """A price with the time when it was fetched.

    Attributes:
        price: the price of the endpoint, for the account of the API key.
        fetched_at: when it was fetched, in Unix seconds.
    """

    price: Price
    fetched_at: float

    def age(self, now: float) -> float:
        """Return the seconds since the price was fetched; 0 if the clock was set back."""
        return max(0.0, now - self.fetched_at)


@attrs.frozen(kw_only=True)
class Cost:
    """What billing units cost by the list price of this account, before discounts.

    Attributes:
        endpoint_id: the endpoint.
        amount: the exact cost.
        currency: three letters, such as `"USD"`.
        units: how many units.
        unit: what is counted, such as `"image"`.
        unit_price: the price of a unit.
        age: how many seconds ago the price was fetched.
    """

    endpoint_id: str
    amount: Decimal
    currency: str
    units: Decimal
    unit: str
    unit_price: Decimal
    age: float


def units_of(value: Decimal | float) -> Decimal:
    """Return a number of billing units as it is written: 0.1 is a tenth.

    Raises ConfigurationError if it is not a finite number >= 0.
    """
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise ConfigurationError(f"units={value!r}: expected a finite number >= 0")
    return Decimal(str(value))


def cost_of(cached: CachedPrice, units: Decimal, now: float) -> Cost:
    """Return what a number of units costs by a price that was fetched."""
    price = cached.price
    return Cost(
        endpoint_id=price.endpoint_id,
        amount=product(price.unit_price, units),
        currency=price.currency,
        units=units,
        unit=price.unit,
        unit_price=price.unit_price,
        age=cached.age(now),
    )


class PriceCache:
    """The prices of one account by endpoint. They follow its contract, so another account has its own cache."""

    def __init__(self) -> None:
        self._prices: dict[str, CachedPrice] = {}
        self._failed: dict[str, float] = {}

    def keep(self, prices: Iterable[Price], now: float) -> None:
        """Keep prices that were fetched now. They replace earlier ones of the same endpoints."""
        for price in prices:
            self._prices[price.endpoint_id] = CachedPrice(price=price, fetched_at=now)

    def fail(self, endpoint_id: str, now: float) -> None:
        """Note that the price of an endpoint could not be fetched now."""
        self._failed[endpoint_id] = now

    def find(self, endpoint_id: str, now: float) -> CachedPrice | None:
        """Return the price of an endpoint; None if it is not known, or was fetched over `FRESH` seconds ago."""
        return self._not_older(endpoint_id, now, FRESH)

    def is_to_be_asked(self, endpoint_id: str, now: float) -> bool:
        """Return whether to fetch a price that would be of use, but is not necessary."""
        failed = self._failed.get(endpoint_id)
        lately = failed is not None and 0 <= now - failed < NOT_ASKED_AGAIN
        return not lately and self.find(endpoint_id, now) is None

    def _not_older(self, endpoint_id: str, now: float, seconds: float) -> CachedPrice | None:
        cached = self._prices.get(endpoint_id)
        return None if cached is None or cached.age(now) > seconds else cached

    def cost(self, endpoint_id: str, units: Decimal | None, now: float) -> Decimal | None:
        """Return the exact cost of a number of billable units by list price, in US dollars.

        None if the units are not known, if no price was fetched in the last `USED` seconds, or if the price is in
        another currency. The cost of 0 units is 0 also if the price is not known.
        """
        if units is None:
            return None
        if units == 0:
            return Decimal(0)
        cached = self._not_older(endpoint_id, now, USED)
        if cached is None or cached.price.currency != CURRENCY:
            return None
        return product(cached.price.unit_price, units)
