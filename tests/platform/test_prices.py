"""`fal.platform`: what endpoints cost, and estimates, on the emulator."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from fal_async import ConfigurationError, NotFoundError, Session
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


async def test_a_result_has_its_cost_once_the_session_has_fetched_the_price(
    fal: Session, emulator: Emulator
) -> None:
    emulator.endpoint("me/model", price="0.1", billable_units=3)(_serve)
    before = [await fal.subscribe("me/model", {}), await fal.run("me/model", {})]
    assert [result.cost for result in before] == [None, None]
    assert emulator.count("platform") == 0, "a call never fetches a price"
    await fal.platform.pricing("me/model")
    after = [await fal.subscribe("me/model", {}), await fal.run("me/model", {})]
    handle = await fal.submit("me/model", {})
    after.append(await handle.wait())
    assert [result.cost for result in after] == [Decimal("0.3")] * 3
    assert emulator.count("platform") == 1


async def test_a_price_of_one_account_is_never_used_for_another_account(
    fal: Session, emulator: Emulator
) -> None:
    emulator.endpoint("me/model", price="0.1")(_serve)
    await fal.platform.pricing("me/model")
    tagged = fal.with_options(tags={"customer": "a"})
    other = fal.with_options(credentials=emulator.add_account("other:key").key)
    assert (await tagged.subscribe("me/model", {})).cost == Decimal("0.1")
    assert (await other.subscribe("me/model", {})).cost is None


async def test_a_cost_is_exact_and_its_price_is_fetched_once(fal: Session, emulator: Emulator) -> None:
    first = await fal.platform.cost(FLUX, 3)
    second = await fal.with_options(tags={"a": "b"}).platform.cost(FLUX, Decimal("0.1"))
    assert emulator.count("platform") == 1
    assert (first.amount, second.amount) == (first.unit_price * 3, first.unit_price * Decimal("0.1"))
    assert (first.currency, bool(first.unit), first.age >= 0.0) == ("USD", True, True)


async def test_concurrent_costs_of_an_endpoint_fetch_its_price_once(fal: Session, emulator: Emulator) -> None:
    costs = await asyncio.gather(*(fal.platform.cost(FLUX, units) for units in range(20)))
    assert [cost.amount for cost in costs] == [costs[0].unit_price * units for units in range(20)]
    assert emulator.count("platform") == 1


@pytest.mark.parametrize("units", [-1, float("nan"), float("inf"), True, "3"])
async def test_a_cost_of_wrong_units_raises_and_nothing_is_sent(
    units: Any, fal: Session, emulator: Emulator
) -> None:
    with pytest.raises(ConfigurationError, match=r"units=.*expected a finite number"):
        await fal.platform.cost(FLUX, units)
    assert emulator.count("platform") == 0


async def test_the_cost_of_an_endpoint_without_a_price_is_not_found(fal: Session) -> None:
    with pytest.raises(NotFoundError):
        await fal.platform.cost("fal-ai/does-not-exist", 1)
