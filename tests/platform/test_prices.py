"""`fal.platform`: what endpoints cost, and estimates, on the emulator."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fal_async import NotFoundError, Session
from fal_async.emulator import Emulator

FLUX, LLM = "fal-ai/flux/dev", "fal-ai/any-llm"


async def test_prices_are_decimals_with_their_unit_and_currency(fal: Session) -> None:
    price, other = await fal.platform.pricing([FLUX, LLM])
    assert (price.endpoint_id, other.endpoint_id) == (FLUX, LLM)
    assert isinstance(price.unit_price, Decimal)
    assert (price.unit_price > 0, bool(price.unit), price.currency) == (True, True, "USD")


async def test_more_than_fifty_endpoints_are_asked_for_in_several_requests(
    fal: Session, emulator: Emulator
) -> None:
    ids = [f"me/model-{number}" for number in range(51)]
    for each in ids:
        emulator.endpoint(each, price="0.5")(_serve)
    prices = await fal.platform.pricing(ids)
    assert [price.endpoint_id for price in prices] == ids
    assert emulator.count("platform") == 2


async def _serve(input: dict[str, str]) -> dict[str, str]:
    return input


async def test_the_price_of_an_unknown_endpoint_is_not_found(fal: Session) -> None:
    with pytest.raises(NotFoundError):
        await fal.platform.pricing([FLUX, "fal-ai/does-not-exist"])


async def test_an_estimate_of_units_is_the_price_times_the_quantity(fal: Session) -> None:
    (price,) = await fal.platform.pricing(FLUX)
    estimate = await fal.platform.estimate(units={FLUX: Decimal("2.5")})
    assert estimate.total_cost == price.unit_price * Decimal("2.5")
    assert estimate.estimate_type == "unit_price"


async def test_an_estimate_of_calls_is_a_total_in_the_same_currency(fal: Session) -> None:
    estimate = await fal.platform.estimate(calls={FLUX: 100, LLM: 1})
    assert (estimate.total_cost > 0, estimate.currency) == (True, "USD")
