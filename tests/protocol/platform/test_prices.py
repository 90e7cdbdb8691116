"""Prices and estimates: what is asked for, and that money is exact (protocol 11.8)."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async import ConfigurationError, ResponseDecodeError
from fal_async.protocol.http import Operation
from fal_async.protocol.platform.prices import (
    Price,
    estimate_request,
    parse_estimate,
    parse_pricing,
    pricing_queries,
    pricing_request,
)
from tests.protocol.platform.recorded import HOSTS, answer, query_of

PRICES = (
    '{"next_cursor": null, "has_more": false, "prices": [{"endpoint_id": "fal-ai/flux/dev",'
    ' "unit_price": 0.1000000000000000055511151231257827, "unit": "megapixels", "currency": "USD", "new": 1}]}'
)


def test_a_price_is_the_exact_decimal_of_the_text_in_json() -> None:
    (price,) = parse_pricing(answer(PRICES)).items
    assert price.unit_price == Decimal("0.1000000000000000055511151231257827")
    assert (price.endpoint_id, price.unit, price.currency) == ("fal-ai/flux/dev", "megapixels", "USD")


def test_a_price_keeps_unknown_fields_and_survives_pickle_copy_and_hashing() -> None:
    (price,) = parse_pricing(answer(PRICES)).items
    assert price.raw["new"] == 1
    assert pickle.loads(pickle.dumps(price)) == copy.deepcopy(price) == price
    assert len({price, copy.copy(price)}) == 1


@given(st.decimals(min_value=0, allow_nan=False, allow_infinity=False))
def test_every_price_that_json_can_write_is_read_without_rounding(amount: Decimal) -> None:
    text = f'{{"prices": [{{"endpoint_id": "a/b", "unit_price": {amount}}}]}}'
    (price,) = parse_pricing(answer(text)).items
    assert price.unit_price == amount


@pytest.mark.parametrize("amount", ['"0.1"', "null", "NaN", "true", "[]"])
def test_a_price_that_is_not_a_number_raises_with_its_place(amount: str) -> None:
    with pytest.raises(ResponseDecodeError) as caught:
        parse_pricing(answer(f'{{"prices": [{{"endpoint_id": "a/b", "unit_price": {amount}}}]}}'))
    assert caught.value.paths == ["required field missing @ $.prices[0].unit_price"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda e: st.lists(e) | st.dictionaries(st.text() | st.just("prices"), e),
    )
)
def test_any_json_gives_a_page_or_an_error_of_decoding(body: Any) -> None:
    with contextlib.suppress(ResponseDecodeError):
        assert isinstance(parse_pricing(answer(body)).items, tuple)


def test_pricing_asks_for_each_endpoint_once_and_for_at_most_fifty_at_a_time() -> None:
    ids = [f"owner/app-{number}" for number in range(120)]
    queries = list(pricing_queries([*ids, ids[0]]))
    assert [len(query) for query in queries] == [50, 50, 20]
    assert [value for query in queries for _, value in query] == ids
    assert query_of(pricing_request(HOSTS, queries[0], "Mg=="))[-1] == ("cursor", "Mg==")


def test_one_endpoint_may_be_a_str_and_is_sent_in_its_usual_form() -> None:
    (query,) = pricing_queries("https://fal.run/fal-ai/flux/dev")
    assert query == [("endpoint_id", "fal-ai/flux/dev")]


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([], "endpoint_ids has 0 values: expected at least 1"),
        (None, "endpoint_ids=None: expected an endpoint id"),
        ("", "endpoint id '': expected owner/app"),
        ("flux", "endpoint id 'flux': expected owner/app"),
        ([7], "endpoint id 7: expected str such as"),
        (7, "endpoint_ids is of type int: expected a str or several"),
    ],
)
def test_wrong_endpoint_ids_raise_before_anything_is_sent(ids: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        list(pricing_queries(ids))


def test_an_estimate_of_calls_is_a_reading_post_with_whole_numbers() -> None:
    request = estimate_request(HOSTS, calls={"fal-ai/flux/dev": 100}, units=None)
    assert (request.method, request.operation) == ("POST", Operation.READ)
    assert isinstance(request.body, bytes)
    assert json.loads(request.body) == {
        "estimate_type": "historical_api_price",
        "endpoints": {"fal-ai/flux/dev": {"call_quantity": 100}},
    }


@pytest.mark.parametrize("quantity", [50, 0.5, Decimal("0.000001")])
def test_an_estimate_of_units_sends_each_kind_of_number(quantity: Any) -> None:
    request = estimate_request(HOSTS, calls=None, units={"fal-ai/flux/dev": quantity})
    assert isinstance(request.body, bytes)
    sent = json.loads(request.body)
    assert sent["estimate_type"] == "unit_price"
    assert sent["endpoints"]["fal-ai/flux/dev"]["unit_quantity"] == float(quantity)


@pytest.mark.parametrize(
    ("calls", "units"),
    [
        (None, None),
        ({"a/b": 1}, {"a/b": 1}),
        ({}, None),
        ({"a/b": 0}, None),
        ({"a/b": 1.5}, None),
        ({"a/b": True}, None),
        (None, {"a/b": 0}),
        (None, {"a/b": float("nan")}),
        (None, {"a/b": Decimal("NaN")}),
        (None, {"a/b": float("inf")}),
        (None, {"a/b": "3"}),
        (None, [("a/b", 3)]),
        (None, {"b": 3}),
    ],
)
def test_a_wrong_estimate_raises_before_anything_is_sent(calls: Any, units: Any) -> None:
    with pytest.raises(ConfigurationError):
        estimate_request(HOSTS, calls=calls, units=units)


def test_an_estimate_has_the_exact_total_and_its_currency() -> None:
    estimate = parse_estimate(
        answer('{"estimate_type": "unit_price", "total_cost": 1.250, "currency": "EUR", "more": []}')
    )
    assert (estimate.total_cost, estimate.currency) == (Decimal("1.25"), "EUR")
    assert estimate.raw["more"] == []


def test_a_price_can_be_made_by_hand_and_is_frozen() -> None:
    price = Price(endpoint_id="a/b", unit_price=Decimal(1))
    with pytest.raises(AttributeError):
        price.unit = "image"  # type: ignore[misc]
