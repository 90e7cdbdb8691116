"""What each endpoint costs (protocol 11.8)."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import attrs

CURRENCY = "USD"
UNIT = "unit"
"""The unit of a price that does not name it."""


@attrs.frozen
class Price:
    """The price of one billable unit.

    Attributes:
        unit_price: US dollars for a unit.
        unit: name of the unit, such as "image".
    """

    unit_price: Decimal
    unit: str

    def cost(self, units: float) -> Decimal:
        """Return the US dollars for a number of units.

        Args:
            units: how many.
        """
        return self.unit_price * Decimal(str(units))


def price_of(value: Decimal | float | str, unit: str) -> Price:
    """Return a price. Raise ValueError unless `value` is a number >= 0 and `unit` is not empty."""
    if not unit:
        raise ValueError("unit='': expected a name, such as 'image'")
    return Price(amount_of(value, "price"), unit)


def amount_of(value: Any, name: str) -> Decimal:
    """Return an amount as it is written: 0.1 is exactly a tenth. Raise ValueError unless it is >= 0."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(value, bool) or not (amount.is_finite() and amount >= 0):
        raise ValueError(f"{name}={value!r}: expected US dollars >= 0, such as 0.025 or '0.025'")
    return amount


class PriceList:
    """The prices, by the id under which an endpoint or an application is served."""

    def __init__(self) -> None:
        self.by_id: dict[str, Price] = {}

    def set(self, endpoint_id: str, price: Price | None) -> None:
        """Set a price; None: the endpoint has none, so that its requests cost nothing."""
        if price is None:
            self.by_id.pop(endpoint_id, None)
        else:
            self.by_id[endpoint_id] = price

    def find(self, endpoint_id: str) -> Price | None:
        return self.by_id.get(endpoint_id)
