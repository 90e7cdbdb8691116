"""Billing events of the platform API, with tags, and those of an organisation (protocol 11.9, 3.7)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from fal_async.emulator import JobContext, ModelError
from tests.emulator.caller import Caller
from tests.emulator.gate import Gate
from tests.emulator.operations.platform.platform_caller import Platform, refused

EVENTS, TEAM_EVENTS = "models/billing-events", "organization/billing-events"
LLM = "fal-ai/any-llm"


@pytest.fixture
def admin(caller: Caller) -> str:
    @caller.emulator.endpoint("me/meter", price="0.1", unit="second")
    async def meter(input: Any, job: JobContext) -> Any:
        if (status := input.get("fail")) is not None:
            raise ModelError(status, "no")
        job.bill(input.get("units", 1))
        return input

    return caller.emulator.admin_key


async def events(platform: Platform, path: str = EVENTS, **query: Any) -> list[dict[str, Any]]:
    query.setdefault("key", platform.caller.emulator.admin_key)
    return await platform.listed(path, "billing_events", **query)


async def test_a_billed_request_has_an_event_with_its_exact_cost(platform: Platform, admin: str) -> None:
    run = await platform.caller.run("me/meter", {"units": 0.3})
    reply = await platform.get(EVENTS, key=admin)
    [event] = json.loads(reply.body, parse_float=Decimal)["billing_events"]
    assert event["request_id"] == run.headers["x-fal-request-id"]
    assert (event["endpoint_id"], event["output_units"]) == ("me/meter", Decimal("0.3"))
    assert (event["unit_price"], event["cost_total"]) == (Decimal("0.1"), Decimal("0.03"))
    assert (event["cost_subtotal"], event["cost_discount"]) == (Decimal("0.03"), 0)
    assert event["cost_estimate_nano_usd"] == 30_000_000
    assert datetime.fromisoformat(event["timestamp"]) < datetime.now(UTC)


@pytest.mark.usefixtures("admin")
async def test_failed_running_and_free_requests_have_no_event(platform: Platform) -> None:
    platform.caller.emulator.endpoint("me/gate", price=1)(Gate())
    await platform.caller.submit("me/gate")
    for input in ({"fail": 500}, {"fail": 422}, {"units": 0}):
        await platform.caller.run("me/meter", input)
    assert await events(platform) == []


async def test_an_event_without_a_price_costs_nothing(platform: Platform) -> None:
    @platform.caller.emulator.endpoint("me/free")
    async def free(input: Any) -> Any:
        return input

    await platform.caller.run("me/free", {})
    [event] = await events(platform)
    assert (event["output_units"], event["unit_price"], event["cost_total"]) == (1, None, 0)


async def test_a_mounted_application_is_billed_by_its_header_at_its_price(platform: Platform) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"x-fal-billable-units", b"2.5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    platform.caller.emulator.mount("me/app", application, price="0.2", unit="minute")
    assert (await platform.caller.run("me/app/sub/path", {})).status == 200
    [event] = await events(platform)
    assert (event["endpoint_id"], event["output_units"], event["cost_total"]) == ("me/app/sub/path", 2.5, 0.5)


@pytest.mark.usefixtures("admin")
async def test_an_event_keeps_the_price_that_was_valid_at_its_end(platform: Platform) -> None:
    await platform.caller.run("me/meter", {})
    platform.caller.emulator.price("me/meter", 7)
    await platform.caller.run("me/meter", {})
    assert [event["cost_total"] for event in await events(platform)] == [7, 0.1]


@pytest.mark.usefixtures("admin")
async def test_events_are_filtered_by_endpoint_request_key_and_login(platform: Platform) -> None:
    emulator = platform.caller.emulator
    robot = emulator.accounts["emulator"].add_api_key("robot")
    first = await platform.caller.run("me/meter", {})
    await platform.caller.run(LLM, {"prompt": "x"}, headers={"Authorization": f"Key {robot.key}"})
    meter, request_id = "me/meter", first.headers["x-fal-request-id"]
    for query, found in (
        ({"endpoint_id": f"{LLM},me/other"}, [LLM]),
        ({"request_id": request_id}, [meter]),
        ({"api_key_id": robot.key_id}, [LLM]),
        ({"api_key_id": "emulator"}, [meter]),
        ({"login_username": "emulator"}, []),
        ({"api_key_id": "emulator", "endpoint_id": LLM}, []),
    ):
        assert [event["endpoint_id"] for event in await events(platform, **query)] == found


@pytest.mark.usefixtures("admin")
async def test_events_name_how_the_caller_authenticated(platform: Platform) -> None:
    emulator = platform.caller.emulator
    robot = emulator.accounts["emulator"].add_api_key("robot")
    await platform.caller.run("me/meter", {}, headers={"Authorization": f"Key {robot.key}"})
    emulator.add_login("refresh")
    form = {"grant_type": "refresh_token", "refresh_token": "refresh"}
    login = await platform.caller.call("POST", "/auth.fal.ai/oauth/token", data=form, headers={})
    token = login.data["access_token"]
    await platform.caller.run("me/meter", {}, headers={"Authorization": f"Bearer {token}"})
    by_login, by_key = await events(platform, expand="auth_method,auth_method_structured")
    assert (by_key["auth_method"], by_login["auth_method"]) == ("robot", "User token")
    assert by_key["auth_method_structured"] == {"detail": "robot", "api_key_id": robot.key_id}
    assert by_login["auth_method_structured"] == {"detail": "User token", "login_username": "emulator"}
    assert len(await events(platform, login_username="emulator")) == 1


@pytest.mark.usefixtures("admin")
async def test_an_event_appears_when_the_lag_is_over(platform: Platform) -> None:
    platform.caller.emulator.history.lag = 60.0
    await platform.caller.run("me/meter", {})
    assert await events(platform) == []
    [job] = platform.caller.emulator.jobs.values()
    job.completed_at = (job.completed_at or 0) - 60
    assert len(await events(platform)) == 1


@pytest.mark.parametrize("path", [EVENTS, TEAM_EVENTS])
async def test_events_are_read_page_by_page_without_gaps_while_new_ones_arrive(
    platform: Platform, admin: str, path: str
) -> None:
    for number in range(1, 6):
        await platform.caller.run("me/meter", {"units": number})
    seen, cursor = [], None
    while True:
        query: dict[str, str] = {} if cursor is None else {"cursor": cursor}
        page = await platform.get(path, key=admin, limit=2, **query)
        seen += [event["output_units"] for event in page.data["billing_events"]]
        cursor = page.data["next_cursor"]
        assert page.data["has_more"] == (cursor is not None)
        if cursor is None:
            break
        await platform.caller.run("me/meter", {"units": 100})
    assert seen == [5, 4, 3, 2, 1]


@pytest.mark.usefixtures("admin")
async def test_tagged_events_show_tags_and_are_filtered_by_them(platform: Platform) -> None:
    for units, tags in ((1, "env=prod,team=a"), (2, "env=prod,team=b"), (3, "env=test"), (4, "")):
        await platform.caller.run(
            "me/meter", {"units": units}, headers=platform.caller.with_headers(X_Fal_Tags=tags)
        )

    async def found(*tags: str) -> list[int]:
        query = {"source": "tagged-billed", "tag": ",".join(tags)}
        return [event["output_units"] for event in await events(platform, **query)]

    assert [event["tags"] for event in await events(platform, source="tagged-billed")] == [
        {},
        {"env": "test"},
        {"env": "prod", "team": "b"},
        {"env": "prod", "team": "a"},
    ]
    assert await found("env=prod") == [2, 1]
    assert await found("env=prod", "team=b") == [2]
    assert await found("team=a", "team=b") == [2, 1]
    assert await found("team=(untagged)") == [4, 3]
    assert await found("env=prod", "env=(untagged)") == [4, 2, 1]
    assert "tags" not in (await events(platform))[0]


@pytest.mark.parametrize(
    "query",
    [
        {"source": "guessed"},
        {"tag": "env=prod"},
        {"source": "tagged-billed", "tag": "env"},
        {"source": "tagged-billed", "tag": ",".join(f"k{number}=v" for number in range(11))},
        {"limit": "10001"},
        {"cursor": "Mg=="},
        {"start": "yesterday"},
        {"start": "2025-02-01", "end": "2025-01-01"},
        {"start": "2025-01-01"},
    ],
    ids=lambda query: str(query)[:40],
)
async def test_a_wrong_query_of_events_gets_400(
    platform: Platform, admin: str, query: dict[str, str]
) -> None:
    assert refused(await platform.get(EVENTS, key=admin, **query)) == (400, "validation_error")


@pytest.mark.usefixtures("admin")
async def test_an_organization_sees_the_events_of_its_teams(platform: Platform) -> None:
    emulator = platform.caller.emulator
    team = emulator.add_account("team:key")
    await platform.caller.run("me/meter", {})
    await platform.caller.run("me/meter", {}, headers={"Authorization": f"Key {team.key}"})
    both = await events(platform, TEAM_EVENTS, expand="auth_method")
    assert [event["username"] for event in both] == ["team", "emulator"]
    assert both[0]["auth_method"] == "team (owner: team)"
    [only] = await events(platform, TEAM_EVENTS, team_username="team")
    assert only["username"] == "team"
    assert len(await events(platform, key=team.admin_key)) == 1
    unknown = await platform.get(TEAM_EVENTS, key=emulator.admin_key, team_username="nothing")
    assert refused(unknown) == (404, "not_found")
    assert refused(await platform.get(TEAM_EVENTS, key=team.admin_key)) == (403, "authorization_error")
    assert refused(await platform.get(TEAM_EVENTS, key=emulator.admin_key, limit=101))[0] == 400
