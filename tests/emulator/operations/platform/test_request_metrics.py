"""Metrics of requests: `GET /models/analytics` (protocol 11.9)."""

from __future__ import annotations

from typing import Any

import pytest

from fal_async.emulator import ModelError
from fal_async.emulator.operations.platform.request_metrics import METRICS
from tests.emulator.caller import Caller
from tests.emulator.operations.platform.platform_caller import Platform, refused

ANALYTICS = "models/analytics"


@pytest.fixture(autouse=True)
def picky(caller: Caller) -> None:
    @caller.emulator.endpoint("me/picky")
    async def model(input: Any) -> Any:
        if input:
            raise ModelError(input["status"], "no", input.get("type"))
        return {}


async def summary(platform: Platform, *metrics: str) -> dict[str, Any]:
    query = {"endpoint_id": "me/picky", "expand": ",".join(["summary", *metrics])}
    [line] = await platform.listed(ANALYTICS, "summary", **query)
    return line


async def test_only_the_metrics_in_expand_are_returned(platform: Platform) -> None:
    for input in ({}, {}, {"status": 422}, {"status": 500}, {"status": 504, "type": "request_timeout"}):
        await platform.caller.run("me/picky", input)
    assert await summary(platform, "request_count", "success_count", "user_error_count", "error_count") == {
        "endpoint_id": "me/picky",
        "request_count": 5,
        "success_count": 2,
        "user_error_count": 1,
        "error_count": 2,
    }
    assert await summary(platform, "runtime_error_count", "timeout_error_count", "startup_error_count") == {
        "endpoint_id": "me/picky",
        "startup_error_count": 0,
        "timeout_error_count": 1,
        "runtime_error_count": 1,
    }


async def test_every_metric_can_be_asked_for_in_a_time_series(platform: Platform) -> None:
    await platform.caller.run("me/picky", {})
    query = {"endpoint_id": "me/picky,me/other", "expand": ",".join(["time_series", *METRICS])}
    [bucket] = await platform.listed(ANALYTICS, "time_series", **query)
    [line] = bucket["results"]
    assert set(line) == {"endpoint_id", *METRICS}
    assert line["p50_duration"] == line["p99_duration"] == line["total_billable_duration"] > 0


async def test_a_percentile_is_a_duration_that_so_many_requests_do_not_exceed(platform: Platform) -> None:
    for seconds in range(1, 11):
        await platform.caller.run("me/picky", {})
        job = list(platform.caller.emulator.jobs.values())[-1]
        job.inference_time = float(seconds)
        job.submitted_at = (job.started_at or 0) - 10 * seconds
    line = await summary(platform, "p25_duration", "p50_duration", "p99_duration", "p75_prepare_duration")
    assert (line["p25_duration"], line["p50_duration"], line["p99_duration"]) == (3, 5, 10)
    assert line["p75_prepare_duration"] == pytest.approx(80)


async def test_analytics_without_expand_count_requests_and_lag_as_the_history_does(
    platform: Platform,
) -> None:
    await platform.caller.run("me/picky", {})
    [bucket] = await platform.listed(ANALYTICS, "time_series", endpoint_id="me/picky")
    assert bucket["results"] == [{"endpoint_id": "me/picky", "request_count": 1}]
    platform.caller.emulator.history.lag = 60.0
    assert await platform.listed(ANALYTICS, "time_series", endpoint_id="me/picky") == []


@pytest.mark.parametrize(
    "query",
    [
        {"expand": "summary,request_count"},
        {"endpoint_id": "me/picky", "expand": "summary"},
        {"endpoint_id": "me/picky", "expand": "request_count"},
    ],
    ids=str,
)
async def test_a_wrong_query_of_analytics_gets_400(platform: Platform, query: dict[str, str]) -> None:
    assert refused(await platform.get(ANALYTICS, **query)) == (400, "validation_error")
