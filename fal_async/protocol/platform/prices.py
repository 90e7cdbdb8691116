"""Prices of endpoints, and estimates (protocol 11.1, 11.8). Money is Decimal, from the text of the JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import attrs

from fal_async.checks import check_int
from fal_async.config import Hosts
from fal_async.errors import ConfigurationError
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.http import HttpRequest, HttpResponse, Operation
from fal_async.protocol.platform.documents import Page, exact_object_of, page_of, raw_field, read
from fal_async.protocol.platform.queries import (
    MAX_VALUES,
    Endpoints,
    Query,
    listed,
    posting,
    reading,
    required_ids,
)

_LEAST_UNITS = 0.000001


@attrs.frozen(kw_only=True)
class Price:
    """What an endpoint costs per billing unit, for this account (protocol 11.8).

    Attributes:
        endpoint_id: such as `"fal-ai/flux/dev"`.
        unit_price: the price of one unit, before discounts.
        unit: what is counted, in fal's words, such as `"image"`, `"megapixels"` or `"second"`.
        currency: three letters, such as `"USD"`.
        raw: the whole entry.
    """

    endpoint_id: str
    unit_price: Decimal
    unit: str = ""
    currency: str = "USD"
    raw: Mapping[str, Any] = raw_field()


@attrs.frozen(kw_only=True)
class Estimate:
    """What a number of calls or units will probably cost: the total over all endpoints (protocol 11.8).

    Attributes:
        total_cost: the estimated cost.
        currency: three letters, such as `"USD"`.
        estimate_type: how fal estimated it: `"historical_api_price"` for calls, `"unit_price"` for units.
        raw: the whole response.
    """

    total_cost: Decimal
    currency: str = "USD"
    estimate_type: str | None = None
    raw: Mapping[str, Any] = raw_field()


def pricing_queries(ids: Endpoints) -> Iterator[Query]:
    """Yield the query of each HTTP request that is needed for these endpoints: 50 endpoints each."""
    checked = required_ids(ids, most=None)
    for start in range(0, len(checked), MAX_VALUES):
        yield listed("endpoint_id", checked[start : start + MAX_VALUES])


def pricing_request(hosts: Hosts, query: Query, cursor: str | None = None) -> HttpRequest:
    return reading(hosts, "models/pricing", query, cursor=cursor)


def parse_pricing(response: HttpResponse) -> Page[Price]:
    return page_of(exact_object_of(response), "prices", lambda row, place: read(Price, row, place))


def estimate_request(
    hosts: Hosts, *, calls: Mapping[str, int] | None, units: Mapping[str, float | Decimal] | None
) -> HttpRequest:
    """Return the HTTP request for an estimate. Raises ConfigurationError unless one of the two is given."""
    given = calls if units is None else units
    if given is None or (calls is not None and units is not None):
        raise ConfigurationError(
            "expected either calls={endpoint_id: count} or units={endpoint_id: quantity}"
        )
    name = "calls" if units is None else "units"
    if not isinstance(given, Mapping) or not given:
        raise ConfigurationError(f"{name}: expected a mapping from endpoint ids to quantities, not empty")
    of_units = {
        EndpointId.parse(key).full: {"unit_quantity": _quantity(n)} for key, n in (units or {}).items()
    }
    of_calls = {EndpointId.parse(key).full: {"call_quantity": _count(n)} for key, n in (calls or {}).items()}
    kind = "historical_api_price" if units is None else "unit_price"
    document = {"estimate_type": kind, "endpoints": of_units or of_calls}
    # A POST that only reads, so it is retried like a GET.
    return posting(hosts, "models/pricing/estimate", document, Operation.READ)


def _count(value: Any) -> int:
    check_int("calls", value, least=1)
    return int(value)


def _quantity(value: Any) -> float | int:
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < _LEAST_UNITS:
        raise ConfigurationError(f"units: {value!r}: expected a finite number >= 0.000001")
    return value if isinstance(value, int) else float(value)


def parse_estimate(response: HttpResponse) -> Estimate:
    return read(Estimate, exact_object_of(response))
