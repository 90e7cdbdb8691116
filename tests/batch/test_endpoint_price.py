"""The price of a batch's endpoint: when it is asked for, and what a limit reserves for one call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal

import attrs
import pytest

from fal_async import AuthenticationError, ConfigurationError, FalError, ServerError, TransportTimeoutError
from fal_async.batch.costs.endpoint_price import EndpointPrice
from fal_async.protocol.platform.price_cache import PriceCache
from fal_async.protocol.platform.prices import Estimate, Price

ID = "me/model"


def price(unit_price: str = "0.1", currency: str = "USD", endpoint_id: str = ID) -> Price:
    return Price(endpoint_id=endpoint_id, unit_price=Decimal(unit_price), currency=currency, raw={})


def estimate(total: str, currency: str = "USD") -> Estimate:
    return Estimate(total_cost=Decimal(total), currency=currency, raw={})


@attrs.define
class Platform:
    """Answers as it is told, and counts how often it is asked for a price."""

    price: Price | FalError
    estimated: Estimate | FalError = attrs.field(factory=lambda: ServerError("no", status=500))
    known: PriceCache = attrs.field(factory=PriceCache)
    asked: int = 0

    async def pricing(self, endpoint_ids: str) -> Sequence[Price]:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.price, FalError):
            raise self.price
        self.known.keep([self.price], time.time())
        return [self.price]

    async def estimate(self, *, calls: Mapping[str, int]) -> Estimate:
        assert calls == {ID: 1}
        if isinstance(self.estimated, FalError):
            raise self.estimated
        return self.estimated

    @property
    def of_endpoint(self) -> EndpointPrice:
        return EndpointPrice(endpoint_id=ID, platform=lambda: self, known=self.known)


@pytest.mark.parametrize(
    "answered",
    [price(), price(endpoint_id="me/other"), ServerError("no", status=500), TransportTimeoutError("slow")],
    ids=["a price", "the price of another endpoint", "an error", "a time limit"],
)
async def test_a_price_of_use_is_asked_for_once_whatever_the_answer_is(answered: Price | FalError) -> None:
    platform = Platform(answered)
    of_endpoint = platform.of_endpoint
    await asyncio.gather(*(of_endpoint.fetch() for _ in range(10)))
    await platform.of_endpoint.fetch()
    assert platform.asked == 1


async def test_an_error_of_the_callers_own_function_is_raised() -> None:
    error = ServerError("no", status=500)
    error.from_caller = True
    with pytest.raises(ServerError):
        await Platform(error).of_endpoint.fetch()


@pytest.mark.parametrize(
    ("told", "estimated", "reserved"),
    [
        (price("0.1"), estimate("0.25"), "0.25"),
        (price("0.1"), estimate("0.05"), "0.05"),
        (price("0.1"), ServerError("no", status=500), "0.1"),
        (price("0.1"), estimate("0"), "0.1"),
        (price("0"), estimate("0"), "0"),
        (ServerError("no", status=500), estimate("0.25"), "0.25"),
    ],
)
async def test_one_call_is_expected_to_cost_what_fal_estimates_else_one_unit(
    told: Price | FalError, estimated: Estimate | FalError, reserved: str
) -> None:
    of_endpoint = Platform(told, estimated).of_endpoint
    assert await of_endpoint.of_one_call(Decimal(5)) == Decimal(reserved)


@pytest.mark.parametrize(
    ("told", "estimated", "words"),
    [
        (
            price(currency="EUR"),
            estimate("1"),
            "max_cost is in USD, but fal's prices for this account are in EUR",
        ),
        (price(), estimate("1", "EUR"), "in EUR: omit max_cost"),
        (price(endpoint_id="me/other"), estimate("0"), "fal tells no price of me/model"),
        (ServerError("broken", status=500), estimate("0"), "no price of me/model \\(500 broken"),
    ],
)
async def test_a_limit_without_a_price_in_dollars_is_refused(
    told: Price | FalError, estimated: Estimate | FalError, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        await Platform(told, estimated).of_endpoint.of_one_call(Decimal(5))


async def test_a_refused_key_is_reported_as_such() -> None:
    refused = AuthenticationError("bad key", status=401)
    with pytest.raises(AuthenticationError):
        await Platform(refused, refused).of_endpoint.of_one_call(Decimal(5))
