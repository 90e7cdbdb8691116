"""Prices and estimates of the platform API (protocol 11.8), and how a test sets prices."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from fal_async.emulator import Emulator
from tests.emulator.caller import Caller
from tests.emulator.operations.platform.platform_caller import Platform, refused

FLUX, LLM = "fal-ai/flux/dev", "fal-ai/any-llm"


def exact(body: bytes) -> Any:
    """Return a body whose numbers are decimals with the digits that were sent."""
    return json.loads(body, parse_float=Decimal)


async def echo(input: Any) -> Any:
    return input


async def test_pricing_returns_a_row_for_each_id_in_the_order_of_the_query(platform: Platform) -> None:
    rows = await platform.listed("models/pricing", "prices", endpoint_id=f"{LLM},{FLUX}")
    assert rows == [
        {"endpoint_id": LLM, "unit_price": 0.001, "unit": "request", "currency": "USD"},
        {"endpoint_id": FLUX, "unit_price": 0.025, "unit": "image", "currency": "USD"},
    ]


async def test_every_built_in_model_has_a_price(platform: Platform) -> None:
    ids = [model["endpoint_id"] for model in await platform.listed("models", "models")]
    prices = await platform.listed("models/pricing", "prices", endpoint_id=",".join(ids))
    assert [price["endpoint_id"] for price in prices] == ids
    assert all(price["unit_price"] > 0 for price in prices)


@pytest.mark.parametrize("price", [Decimal("0.1"), 0.1, "0.1", "0.10"], ids=repr)
async def test_a_price_is_sent_with_the_digits_that_were_given(platform: Platform, price: Any) -> None:
    platform.caller.emulator.endpoint("me/echo", price=price, unit="second")(echo)
    reply = await platform.get("models/pricing", endpoint_id="me/echo")
    [row] = exact(reply.body)["prices"]
    assert (row["unit_price"], row["unit"]) == (Decimal("0.1"), "second")


async def test_a_changed_price_keeps_its_unit_and_is_told_from_then_on(platform: Platform) -> None:
    emulator = platform.caller.emulator
    emulator.price(FLUX, "0.0000025")
    [row] = exact((await platform.get("models/pricing", endpoint_id=FLUX)).body)["prices"]
    assert (row["unit_price"], row["unit"]) == (Decimal("0.0000025"), "image")
    emulator.price(FLUX, 3, unit="video")
    [row] = await platform.listed("models/pricing", "prices", endpoint_id=FLUX)
    assert (row["unit_price"], row["unit"]) == (3, "video")


async def test_an_application_has_one_price_for_all_its_paths(platform: Platform) -> None:
    platform.caller.emulator.mount("me/app", "http://127.0.0.1:1", price=2, unit="call")
    for endpoint_id in ("me/app", "me/app/sub/path"):
        [row] = await platform.listed("models/pricing", "prices", endpoint_id=endpoint_id)
        assert (row["endpoint_id"], row["unit_price"]) == (endpoint_id, 2)


@pytest.mark.parametrize("unknown", ["me/nothing", "me/free"])
async def test_one_id_without_a_price_makes_the_whole_call_a_404(platform: Platform, unknown: str) -> None:
    platform.caller.emulator.endpoint("me/free")(echo)
    reply = await platform.get("models/pricing", endpoint_id=f"{FLUX},{unknown}")
    assert refused(reply) == (404, "not_found")
    assert unknown in reply.data["error"]["message"]


async def test_an_endpoint_that_is_registered_again_has_its_new_price_only(platform: Platform) -> None:
    platform.caller.emulator.endpoint("me/echo", price=1)(echo)
    platform.caller.emulator.endpoint("me/echo")(echo)
    assert (await platform.get("models/pricing", endpoint_id="me/echo")).status == 404


@pytest.mark.parametrize("query", [{}, {"endpoint_id": ","}, {"endpoint_id": ",".join(map(str, range(51)))}])
async def test_pricing_refuses_no_ids_and_more_than_fifty(platform: Platform, query: dict[str, str]) -> None:
    assert refused(await platform.get("models/pricing", **query)) == (400, "validation_error")


async def test_pricing_and_estimates_need_a_key(platform: Platform) -> None:
    assert refused(await platform.get("models/pricing", key="", endpoint_id=FLUX))[0] == 401
    assert refused(await platform.post("models/pricing/estimate", {}, key=""))[0] == 401


async def test_an_estimate_by_units_adds_up_exactly(platform: Platform) -> None:
    units = {FLUX: {"unit_quantity": 3}, LLM: {"unit_quantity": 0.1}}
    reply = await platform.post(
        "models/pricing/estimate", {"estimate_type": "unit_price", "endpoints": units}
    )
    assert exact(reply.body) == {
        "estimate_type": "unit_price",
        "total_cost": Decimal("0.0751"),
        "currency": "USD",
    }


async def test_an_estimate_by_calls_takes_the_average_units_of_earlier_calls(platform: Platform) -> None:
    body = {"estimate_type": "historical_api_price", "endpoints": {FLUX: {"call_quantity": 10}}}
    assert (await platform.post("models/pricing/estimate", body)).data["total_cost"] == 0.25
    for count in (1, 4):
        await platform.caller.run(FLUX, {"prompt": "x", "num_images": count, "image_size": "square"})
    assert (await platform.post("models/pricing/estimate", body)).data["total_cost"] == 0.625


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"estimate_type": "guess", "endpoints": {FLUX: {"unit_quantity": 1}}},
        {"estimate_type": "unit_price", "endpoints": {}},
        {"estimate_type": "unit_price", "endpoints": {FLUX: {"call_quantity": 1}}},
        {"estimate_type": "unit_price", "endpoints": {FLUX: {"unit_quantity": 0}}},
        {"estimate_type": "unit_price", "endpoints": {FLUX: {"unit_quantity": "2"}}},
        {"estimate_type": "historical_api_price", "endpoints": {FLUX: {"call_quantity": 1.5}}},
        {"estimate_type": "historical_api_price", "endpoints": {FLUX: {"call_quantity": 0}}},
        {"estimate_type": "historical_api_price", "endpoints": {FLUX: 1}},
    ],
    ids=str,
)
async def test_a_wrong_estimate_body_gets_400(platform: Platform, body: Any) -> None:
    assert refused(await platform.post("models/pricing/estimate", body)) == (400, "validation_error")


async def test_an_estimate_of_an_unknown_endpoint_gets_404(platform: Platform) -> None:
    body = {"estimate_type": "unit_price", "endpoints": {"me/nothing": {"unit_quantity": 1}}}
    assert refused(await platform.post("models/pricing/estimate", body)) == (404, "not_found")


@pytest.mark.parametrize("price", [-1, "cheap", float("nan"), True], ids=repr)
def test_a_price_that_is_not_an_amount_is_refused_when_it_is_set(price: Any) -> None:
    emulator = Emulator()
    with pytest.raises(ValueError, match="price="):
        emulator.endpoint("me/echo", price=price)
    with pytest.raises(ValueError, match="price="):
        emulator.price(FLUX, price)
    with pytest.raises(ValueError, match="unit="):
        emulator.price(FLUX, 1, unit="")
    with pytest.raises(KeyError, match="me/nothing"):
        emulator.price("me/nothing", 1)


async def test_a_wrong_price_leaves_nothing_registered(caller: Caller) -> None:
    with pytest.raises(ValueError, match="price="):
        caller.emulator.mount("me/app", "http://127.0.0.1:1", price=-1)
    assert (await caller.run("me/app", {})).status == 404
