"""`error.retryable` of `subscribe`: False once fal has the request, as a second call would be a second request."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from fal_async import FalError, Hosts, Session
from tests.quick import at_once, quick
from tests.servers.raw import answer
from tests.servers.raw_fal import ID, raw_fal

APP = "me/app"
PASSING = {
    "busy": answer({"detail": "busy"}, 503, x_fal_request_id=ID),
    "too many": answer({"detail": "too many"}, 429, x_fal_request_id=ID),
    "says so": answer({"detail": "x"}, 500, x_fal_request_id=ID, x_fal_needs_retry="1"),
    "not JSON": answer(b"{", x_fal_request_id=ID),
}


def session(url: str) -> Session:
    return Session("a:b", hosts=Hosts.local(url), retry=quick(max_attempts=2, outage=0.1, result_total=0.1))


async def test_errors_are_not_retryable_by_subscribe_once_fal_has_the_request() -> None:
    async def check(case: tuple[str, str, Any]) -> None:
        kind, said, mode = case
        async with raw_fal(**{kind: lambda _: PASSING[said]}) as server, session(server.url) as fal:
            with pytest.raises(FalError) as subscribed:
                await fal.subscribe(APP, {}, mode=mode)
            with pytest.raises(FalError) as waited:
                await fal.queue.handle(APP, ID).wait(mode=mode)
        assert type(subscribed.value) is type(waited.value)
        assert (subscribed.value.request_id, subscribed.value.retryable) == (ID, False)
        assert waited.value.retryable

    await at_once(check, product(["status", "result"], PASSING, ["polling", "streaming"]))


async def test_the_error_of_a_refused_submit_is_retryable() -> None:
    async with raw_fal(submit=lambda _: PASSING["busy"]) as server, session(server.url) as fal:
        with pytest.raises(FalError) as caught:
            await fal.subscribe(APP, {})
    assert caught.value.retryable


async def test_the_error_of_a_failed_request_is_retryable_if_the_model_says_so() -> None:
    failed = answer({"status": "COMPLETED", "request_id": ID, "error": "no GPU"}, x_fal_request_id=ID)
    async with (
        raw_fal(status=lambda _: failed, result=lambda _: PASSING["says so"]) as server,
        session(server.url) as fal,
    ):
        with pytest.raises(FalError) as caught:
            await fal.subscribe(APP, {})
    assert caught.value.retryable


async def test_an_error_from_a_callback_keeps_its_retryable() -> None:
    def refuse(_: object) -> None:
        raise FalError("mine", retryable=True)

    async with raw_fal() as server, session(server.url) as fal:
        with pytest.raises(FalError, match="mine") as caught:
            await fal.subscribe(APP, {}, on_queue_update=refuse)
    assert caught.value.retryable
