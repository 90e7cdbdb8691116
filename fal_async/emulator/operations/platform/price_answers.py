"""`GET /models/pricing` and `POST /models/pricing/estimate` (protocol 11.1, 11.8)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fal_async.emulator.accounts.prices import CURRENCY, Price
from fal_async.emulator.core import Call, Core
from fal_async.emulator.operations.platform.platform_errors import invalid, not_found
from fal_async.emulator.operations.platform.query_values import MOST_VALUES, body_object, required
from fal_async.emulator.wire.answers import Answer, json_answer

_QUANTITIES = {"historical_api_price": "call_quantity", "unit_price": "unit_quantity"}
_FEWEST_UNITS = Decimal("0.000001")


def pricing(core: Core, call: Call) -> Answer:
    """List prices, all on one page. An id that is unknown or has no price is a 404 for the whole call (11.8)."""
    rows = [(endpoint_id, _price(core, endpoint_id)) for endpoint_id in required(call, "endpoint_id")]
    prices = [
        {"endpoint_id": endpoint_id, "unit_price": price.unit_price, "unit": price.unit, "currency": CURRENCY}
        for endpoint_id, price in rows
    ]
    return json_answer({"prices": prices, "next_cursor": None, "has_more": False})


def estimate(core: Core, call: Call) -> Answer:
    """Add up what calls, or units, of endpoints would cost."""
    document = body_object(call)
    kind, endpoints = document.get("estimate_type"), document.get("endpoints")
    if kind not in _QUANTITIES:
        raise invalid(f"estimate_type={kind!r}: expected one of {', '.join(_QUANTITIES)}")
    if not isinstance(endpoints, dict) or not 1 <= len(endpoints) <= MOST_VALUES:
        raise invalid(f"endpoints: expected an object of 1 to {MOST_VALUES} endpoint ids")
    cost = _calls_cost if kind == "historical_api_price" else _units_cost
    total = sum(
        (cost(core, one, _quantity(kind, one, wanted)) for one, wanted in endpoints.items()), Decimal()
    )
    return json_answer({"estimate_type": kind, "total_cost": total, "currency": CURRENCY})


def _price(core: Core, endpoint_id: str) -> Price:
    served = core.endpoints.serving(endpoint_id)
    price = None if served is None else core.prices.find(served.endpoint_id)
    if price is None:
        raise not_found(f"No price found for endpoint {endpoint_id}")
    return price


def _quantity(kind: str, endpoint_id: str, wanted: Any) -> Decimal:
    name = _QUANTITIES[kind]
    value = wanted.get(name) if isinstance(wanted, dict) else None
    calls = kind == "historical_api_price"
    if isinstance(value, bool) or not isinstance(value, int if calls else int | float):
        raise invalid(f"endpoints[{endpoint_id}].{name}: expected {'an integer' if calls else 'a number'}")
    amount, fewest = Decimal(str(value)), Decimal(1) if calls else _FEWEST_UNITS
    if not amount.is_finite() or amount < fewest:
        raise invalid(f"endpoints[{endpoint_id}].{name}={value}: expected {fewest:f} or more")
    return amount


def _units_cost(core: Core, endpoint_id: str, units: Decimal) -> Decimal:
    return _price(core, endpoint_id).unit_price * units


def _calls_cost(core: Core, endpoint_id: str, calls: Decimal) -> Decimal:
    """Return what calls cost by the average of the billed calls so far, or by what a call bills by default."""
    price, served = _price(core, endpoint_id), core.endpoints.serving(endpoint_id)
    billed = [job.billable_units for job in core.jobs if job.served is served and job.billable_units]
    usual = Decimal(str(served.billable_units)) if served is not None else Decimal(1)
    average = sum((Decimal(str(units)) for units in billed), Decimal()) / len(billed) if billed else usual
    return price.unit_price * average * calls
