"""Billable units and amounts of money: read exactly, and added and multiplied exactly in any decimal context."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Context, Decimal

BILLABLE_UNITS = "x-fal-billable-units"
_UNITS = r"[0-9]{1,18}(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,2})?"

_EXACT = Context(prec=200)
"""More digits than a product of billable units and a price can have: `_UNITS` allows 36 digits.

The context of the caller's thread has 28 by default, or as few as the caller has set.
"""


def billable_units(headers: Mapping[str, str]) -> Decimal | None:
    """Return the billed units exactly as in the header; None if that is not a number >= 0 (protocol 3.2)."""
    text = headers.get(BILLABLE_UNITS, "").strip()
    return Decimal(text) if re.fullmatch(_UNITS, text) else None


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Return the exact sum; 0 if there are no amounts."""
    result = Decimal(0)
    for amount in amounts:
        result = _EXACT.add(result, amount)
    return result


def dollars(amount: Decimal) -> str:
    """Return an amount for people: `$1,234.50`, and with two significant digits below a dollar: `$0.025`."""
    places = 2 if amount == 0 or abs(amount) >= 1 else max(2, 1 - amount.adjusted())
    whole, _, decimals = f"{amount:,.{places}f}".partition(".")
    return f"${whole}.{decimals.rstrip('0'):0<2}"


def product(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact product."""
    return _EXACT.multiply(one, other)
