"""Usage of an account and of an organisation, and the time buckets of series (protocol 11.7, 11.9)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fal_async.emulator import JobContext
from tests.emulator.caller import Caller
from tests.emulator.operations.platform.platform_caller import Platform, refused

USAGE, TEAM_USAGE = "models/usage", "organization/usage"
LLM = "fal-ai/any-llm"


@pytest.fixture
def admin(caller: Caller) -> str:
    @caller.emulator.endpoint("me/meter", price="0.1", unit="second")
    async def meter(input: Any, job: JobContext) -> Any:
        job.bill(input["units"])
        return input

    return caller.emulator.admin_key


async def ran_at(platform: Platform, moment: datetime, units: float = 1, **options: Any) -> None:
    """Run a request, and date it back."""
    await platform.caller.run("me/meter", {"units": units}, **options)
    job = list(platform.caller.emulator.jobs.values())[-1]
    job.submitted_at = moment.timestamp()


async def test_usage_sums_up_units_and_cost_by_endpoint_and_price(platform: Platform, admin: str) -> None:
    for units in (0.1, 0.2):
        await platform.caller.run("me/meter", {"units": units})
    platform.caller.emulator.price("me/meter", 2)
    await platform.caller.run("me/meter", {"units": 3})
    await platform.caller.run(LLM, {"prompt": "x"})
    lines = await platform.listed(USAGE, "summary", key=admin, expand="summary")
    assert [
        (line["endpoint_id"], line["unit"], line["quantity"], line["unit_price"], line["cost"])
        for line in lines
    ] == [
        ("me/meter", "second", 3, 2, 6),
        ("me/meter", "second", 0.3, 0.1, 0.03),
        (LLM, "request", 1, 0.001, 0.001),
    ]
    assert all(line["cost"] == line["cost_total"] == line["cost_subtotal"] for line in lines)
    assert {(line["percent_discount"], line["cost_discount"]) for line in lines} == {(None, 0)}


async def test_usage_without_expand_is_a_time_series_only(platform: Platform, admin: str) -> None:
    await platform.caller.run("me/meter", {"units": 1})
    reply = await platform.get(USAGE, key=admin)
    assert len(reply.data["time_series"]) == 1
    assert "summary" not in reply.data
    assert refused(await platform.get(USAGE, key=admin, expand="auth_method")) == (400, "validation_error")


async def test_usage_is_divided_by_key_if_asked(platform: Platform, admin: str) -> None:
    robot = platform.caller.emulator.accounts["emulator"].add_api_key("robot")
    await platform.caller.run("me/meter", {"units": 1})
    await platform.caller.run("me/meter", {"units": 2}, headers={"Authorization": f"Key {robot.key}"})
    whole = await platform.listed(USAGE, "summary", key=admin, expand="summary")
    assert [line["quantity"] for line in whole] == [3]
    parts = await platform.listed(
        USAGE, "summary", key=admin, expand="summary,auth_method,auth_method_structured"
    )
    assert [(line["auth_method"], line["quantity"]) for line in parts] == [("robot", 2), ("emulator", 1)]
    assert parts[0]["auth_method_structured"]["api_key_id"] == robot.key_id


DAY = datetime(2025, 10, 14, 22, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "bucket"),
    [
        ({"timeframe": "minute"}, "2025-10-14T22:30:00+00:00"),
        ({"timeframe": "hour"}, "2025-10-14T22:00:00+00:00"),
        ({"timeframe": "day"}, "2025-10-14T00:00:00+00:00"),
        ({"timeframe": "day", "timezone": "Europe/Berlin"}, "2025-10-15T00:00:00+02:00"),
        ({"timeframe": "week", "timezone": "America/New_York"}, "2025-10-13T00:00:00-04:00"),
        ({"timeframe": "month"}, "2025-10-01T00:00:00+00:00"),
        # The default depends on the length of the range.
        ({"start": "2025-10-14T22:00:00Z", "end": "2025-10-14T23:00:00Z"}, "2025-10-14T22:30:00+00:00"),
        ({"start": "2025-10-14", "end": "2025-10-15"}, "2025-10-14T22:00:00+00:00"),
        ({"start": "2025-10-01", "end": "2025-11-01"}, "2025-10-14T00:00:00+00:00"),
        ({"start": "2025-07-01", "end": "2025-11-01"}, "2025-10-13T00:00:00+00:00"),
        ({"start": "2025-01-01", "end": "2025-11-01"}, "2025-10-01T00:00:00+00:00"),
    ],
    ids=str,
)
async def test_a_bucket_starts_at_a_border_of_the_timeframe_in_the_zone(
    platform: Platform, admin: str, query: dict[str, str], bucket: str
) -> None:
    await ran_at(platform, DAY)
    query = {"start": "2025-10-14", "end": "2025-10-16", **query}
    series = await platform.listed(USAGE, "time_series", key=admin, **query)
    assert [one["bucket"] for one in series] == [bucket]
    assert series[0]["results"][0]["quantity"] == 1


@pytest.mark.parametrize(("bound", "found"), [("true", 3), ("false", 1)])
async def test_a_bound_range_is_widened_to_whole_buckets(
    platform: Platform, admin: str, bound: str, found: int
) -> None:
    for hours in (-5, 0, 1):
        await ran_at(platform, DAY + timedelta(hours=hours))
    query = {"start": "2025-10-14T22:00:00Z", "end": "2025-10-14T23:00:00Z", "timeframe": "day"}
    [line] = await platform.listed(
        USAGE, "summary", key=admin, expand="summary", bound_to_timeframe=bound, **query
    )
    assert line["quantity"] == found


async def test_a_range_that_ends_at_a_border_is_not_widened(platform: Platform, admin: str) -> None:
    await ran_at(platform, datetime(2025, 10, 31, 23, 59, tzinfo=UTC))
    await ran_at(platform, datetime(2025, 11, 1, tzinfo=UTC))
    query = {"start": "2025-10-01", "end": "2025-11-01", "timeframe": "month"}
    [bucket] = await platform.listed(USAGE, "time_series", key=admin, **query)
    assert bucket["results"][0]["quantity"] == 1


async def test_buckets_are_paged_and_the_summary_is_on_the_first_page(platform: Platform, admin: str) -> None:
    for day in range(3):
        await ran_at(platform, DAY + timedelta(days=day))
    query = {"start": "2025-10-01", "end": "2025-11-01", "limit": 2, "expand": "summary,time_series"}
    first = (await platform.get(USAGE, key=admin, **query)).data
    second = (await platform.get(USAGE, key=admin, cursor=first["next_cursor"], **query)).data
    assert [one["bucket"][:10] for one in first["time_series"]] == ["2025-10-14", "2025-10-15"]
    assert [one["bucket"][:10] for one in second["time_series"]] == ["2025-10-16"]
    assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)
    assert first["summary"][0]["quantity"] == 3
    assert "summary" not in second


async def test_usage_lags_as_the_history_does(platform: Platform, admin: str) -> None:
    platform.caller.emulator.history.lag = 60.0
    await platform.caller.run("me/meter", {"units": 1})
    assert await platform.listed(USAGE, "time_series", key=admin) == []


@pytest.mark.parametrize(
    "query",
    [{"timeframe": "year"}, {"timezone": "Mars/Base"}, {"bound_to_timeframe": "no"}, {"start": "2025-13-01"}],
    ids=str,
)
async def test_a_wrong_query_of_usage_gets_400(platform: Platform, admin: str, query: dict[str, str]) -> None:
    assert refused(await platform.get(USAGE, key=admin, **query)) == (400, "validation_error")


async def test_an_organizations_usage_names_team_and_product(platform: Platform, admin: str) -> None:
    team = platform.caller.emulator.add_account("team:key")
    await platform.caller.run("me/meter", {"units": 1})
    await platform.caller.run("me/meter", {"units": 2}, headers={"Authorization": f"Key {team.key}"})

    async def lines(**query: str) -> list[dict[str, Any]]:
        return await platform.listed(TEAM_USAGE, "summary", key=admin, expand="summary", **query)

    assert [(line["username"], line["product"], line["quantity"]) for line in await lines()] == [
        ("team", "model_apis", 2),
        ("emulator", "model_apis", 1),
    ]
    assert not any("discount" in name for name in (await lines())[0])
    assert len(await lines(team_username="team", product="compute,model_apis")) == 1
    assert await lines(product="compute") == []
    assert refused(await platform.get(TEAM_USAGE, key=admin, product="toys")) == (400, "validation_error")
    assert refused(await platform.get(TEAM_USAGE, key=team.admin_key)) == (403, "authorization_error")
