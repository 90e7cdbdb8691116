"""The cost of billable units, from the prices that a session has fetched."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fal_async.protocol.platform.price_cache import FRESH, NOT_ASKED_AGAIN, USED, PriceCache
from fal_async.protocol.platform.prices import Price


def cached(unit_price: str = "0.025", currency: str = "USD", at: float = 1000.0) -> PriceCache:
    cache = PriceCache()
    price = Price(
        endpoint_id="fal-ai/flux/dev", unit_price=Decimal(unit_price), unit="image", currency=currency, raw={}
    )
    cache.keep([price], at)
    return cache


@pytest.mark.parametrize(
    ("price", "units", "cost"),
    [
        ("0.025", "1", "0.025"),
        ("0.1", "3", "0.3"),
        ("0.025", "3.0000001", "0.0750000025"),
        ("0.000000001", "0.000000000000000001", "1E-27"),
        ("0", "5", "0"),
    ],
)
def test_a_cost_is_the_exact_product_of_price_and_units(price: str, units: str, cost: str) -> None:
    assert cached(price).cost("fal-ai/flux/dev", Decimal(units), 1000.0) == Decimal(cost)


def test_a_cost_is_none_if_price_or_units_are_unknown() -> None:
    assert cached().cost("fal-ai/flux/schnell", Decimal(1), 1000.0) is None
    assert cached().cost("fal-ai/flux/dev", None, 1000.0) is None


def test_zero_units_cost_nothing_even_without_a_price() -> None:
    assert PriceCache().cost("me/app", Decimal("0.0"), 1000.0) == 0


def test_a_price_is_fetched_again_after_an_hour_but_used_for_a_day() -> None:
    cache = cached(at=1000.0)
    kept = cache.find("fal-ai/flux/dev", 1000.0 + FRESH)
    assert kept is not None
    assert (kept.age(1000.0 + FRESH), kept.age(900.0)) == (FRESH, 0)
    assert not cache.is_to_be_asked("fal-ai/flux/dev", 1000.0 + FRESH)
    assert cache.find("fal-ai/flux/dev", 1001.0 + FRESH) is None
    assert cache.is_to_be_asked("fal-ai/flux/dev", 1001.0 + FRESH)
    assert cache.cost("fal-ai/flux/dev", Decimal(1), 1000.0 + USED) == Decimal("0.025")
    assert cache.cost("fal-ai/flux/dev", Decimal(1), 1001.0 + USED) is None


def test_a_price_that_could_not_be_fetched_is_not_asked_for_again_at_once() -> None:
    cache = PriceCache()
    assert cache.is_to_be_asked("me/app", 1000.0)
    cache.fail("me/app", 1000.0)
    assert not cache.is_to_be_asked("me/app", 999.0 + NOT_ASKED_AGAIN)
    assert cache.is_to_be_asked("me/app", 1000.0 + NOT_ASKED_AGAIN)
    assert cache.is_to_be_asked("me/app", 0.0), "the clock was set back"
    assert cache.is_to_be_asked("me/other", 1000.0)


def test_a_newer_price_replaces_the_one_before() -> None:
    cache = cached("0.025")
    cache.keep([Price(endpoint_id="fal-ai/flux/dev", unit_price=Decimal("0.05"), raw={})], 2000.0)
    assert cache.cost("fal-ai/flux/dev", Decimal(2), 2000.0) == Decimal("0.1")


def test_a_price_in_another_currency_gives_no_cost() -> None:
    cache = cached(currency="EUR")
    assert cache.find("fal-ai/flux/dev", 1000.0) is not None
    assert cache.cost("fal-ai/flux/dev", Decimal(1), 1000.0) is None
