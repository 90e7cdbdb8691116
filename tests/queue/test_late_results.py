"""Results that arrive late, gateways' own status words, and results that fal no longer keeps."""

from __future__ import annotations

from typing import Any

import pytest

from fal_async import (
    ApiError,
    Completed,
    Hosts,
    NotFoundError,
    RequestCancelledError,
    RequestFailedError,
    RequestHandle,
    ResultExpiredError,
    Session,
)
from tests.quick import quick
from tests.servers.raw import answer
from tests.servers.raw_fal import ID, OUTPUT, RawFal, raw_fal

APP = "me/app"
IN_PROGRESS = {"status": "IN_PROGRESS", "request_id": ID}
NOT_YET = {
    "202 with a status": answer(IN_PROGRESS, 202),
    "202 with nothing": answer(b"", 202),
    "200 with a status": answer(IN_PROGRESS, 200),
    "400 in progress": answer({"detail": "Request is still in progress"}, 400, x_fal_request_id=ID),
    "425": answer({"detail": "Too early"}, 425, x_fal_request_id=ID),
}
GONE = answer({"status": "NOT_FOUND"}, 404, x_fal_request_id=ID)


def session(fal: RawFal, **options: Any) -> Session:
    return Session("a:b", hosts=Hosts.local(fal.url), retry=quick(**options))


@pytest.mark.parametrize("said", NOT_YET.values(), ids=NOT_YET)
async def test_a_result_that_lags_behind_its_status_is_fetched_again(said: bytes) -> None:
    async with raw_fal(result=lambda n: said if n < 4 else None) as server, session(server) as fal:
        assert (await fal.subscribe(APP, {})).data == OUTPUT
    assert server.seen["result"] == 4
    assert server.seen["submit"] == 1


@pytest.mark.parametrize("said", NOT_YET.values(), ids=NOT_YET)
async def test_a_result_that_never_arrives_raises_an_error_with_the_request_id(said: bytes) -> None:
    async with raw_fal(result=lambda _: said) as server, session(server, result_total=0.2) as fal:
        with pytest.raises(ApiError) as caught:
            await fal.subscribe(APP, {})
    assert caught.value.request_id == ID
    assert server.seen["result"] > 1


@pytest.mark.parametrize("said", NOT_YET.values(), ids=NOT_YET)
async def test_fetching_an_early_result_without_a_status_raises_at_once(said: bytes) -> None:
    async with raw_fal(result=lambda _: said) as server, session(server) as fal:
        with pytest.raises(ApiError) as caught:
            await fal.queue.result(APP, ID)
    assert caught.value.request_id == ID
    assert server.seen["result"] == 1


@pytest.mark.parametrize("mode", ["polling", "streaming"])
@pytest.mark.parametrize(
    "late",
    [answer({"status": "NOT_FOUND"}, 404), answer(IN_PROGRESS), answer({"x": 1})],
    ids=["404", "in progress", "an output"],
)
async def test_a_gateways_status_failed_raises_request_failed_error_with_its_text(
    mode: Any, late: bytes
) -> None:
    failed = {"status": "FAILED", "request_id": ID, "error": "out of memory"}
    async with (
        raw_fal(status=lambda _: answer(failed), result=lambda _: late) as server,
        session(server) as fal,
    ):
        with pytest.raises(RequestFailedError, match="out of memory") as caught:
            await fal.subscribe(APP, {}, mode=mode)
        status = await fal.queue.status(APP, ID)
    assert (caught.value.request_id, caught.value.retryable) == (ID, False)
    assert isinstance(status, Completed)
    assert status.error == "out of memory"


async def test_a_result_that_is_a_failed_status_raises_request_failed_error() -> None:
    failed = answer({"status": "FAILED", "request_id": ID, "error": "out of memory"})
    async with raw_fal(result=lambda _: failed) as server, session(server) as fal:
        with pytest.raises(RequestFailedError, match="out of memory"):
            await fal.subscribe(APP, {})


async def test_a_gateways_status_canceled_raises_request_cancelled_error() -> None:
    cancelled = answer({"status": "CANCELED", "request_id": ID})
    async with raw_fal(status=lambda _: cancelled, result=lambda _: GONE) as server, session(server) as fal:
        with pytest.raises(RequestCancelledError):
            await fal.subscribe(APP, {})


@pytest.fixture
def gone() -> dict[str, Any]:
    return {"status": lambda _: GONE, "result": lambda _: GONE}


async def test_a_missing_result_of_an_own_submit_raises_result_expired_error(gone: dict[str, Any]) -> None:
    async with raw_fal(**gone) as server, session(server) as fal:
        handle = await fal.queue.submit(APP, {})
        for ask in (handle.status, handle.result, handle.wait):
            with pytest.raises(ResultExpiredError, match="no longer knows"):
                await ask()
        stored = RequestHandle.from_json(handle.to_json(), fal)
        with pytest.raises(ResultExpiredError):
            await stored.result()


async def test_a_missing_result_of_a_typed_id_raises_not_found_error(gone: dict[str, Any]) -> None:
    async with raw_fal(**gone) as server, session(server) as fal:
        handle = fal.queue.handle(APP, "typo")
        for ask in (handle.status, handle.result, handle.wait):
            with pytest.raises(NotFoundError, match="check the endpoint id and the request id") as caught:
                await ask()
            assert not isinstance(caught.value, ResultExpiredError)
            assert not caught.value.retryable
