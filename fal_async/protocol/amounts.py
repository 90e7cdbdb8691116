"""Exact arithmetic with amounts of money and billable units, whatever the caller's decimal context is."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal

_EXACT = Context(prec=200)
"""More digits than a product of billable units (36 at most, `protocol/ledger/kept.py`) and a price can have.

The context of the caller's thread has 28 by default, or as few as the caller has set.
"""


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Return the exact sum; 0 if there are no amounts."""
    result = Decimal(0)
    for amount in amounts:
        result = _EXACT.add(result, amount)
    return result


def product(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact product."""
    return _EXACT.multiply(one, other)
