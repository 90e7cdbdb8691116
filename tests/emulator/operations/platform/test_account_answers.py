"""The balance of an account, its reports, and the teams of an organisation (protocol 11.2, 11.9, 11.11)."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from fal_async.emulator import Emulator
from tests.emulator.caller import Caller, Reply, calling
from tests.emulator.operations.platform.platform_caller import Platform, refused

BILLING, FOCUS, TEAM_FOCUS = "account/billing", "account/focus", "organization/focus"


@pytest.fixture
def admin(caller: Caller) -> str:
    @caller.emulator.endpoint("me/echo", price="0.4", unit="call")
    async def echo(input: Any) -> Any:
        return input

    return caller.emulator.admin_key


def rows(reply: Reply) -> list[dict[str, str]]:
    assert reply.status == 200
    return list(csv.DictReader(io.StringIO(reply.body.decode())))


async def left(platform: Platform, admin: str) -> Any:
    return (await platform.get(BILLING, key=admin, expand="credits")).data["credits"]["current_balance"]


async def test_the_balance_falls_with_each_billed_request_and_then_locks_the_account(
    platform: Platform, admin: str
) -> None:
    account = platform.caller.emulator.accounts["emulator"]
    account.balance = Decimal("0.9")
    submitted = await platform.caller.submit("me/echo", {"a": 1})
    await platform.caller.reached(submitted, "COMPLETED")
    assert await left(platform, admin) == 0.5
    await platform.caller.run("me/echo", {})
    assert (await platform.caller.run("me/echo", {})).status == 200  # the last one may cost more than is left
    assert await left(platform, admin) == 0
    for reply in (await platform.caller.run("me/echo", {}), await platform.caller.submit("me/echo", {})):
        assert (reply.status, "Exhausted balance" in reply.data["detail"]) == (403, True)
    # What is paid can still be fetched, and the balance can be looked up.
    assert (await platform.caller.result(submitted)).data == {"a": 1}
    account.balance = Decimal(1)
    assert (await platform.caller.run("me/echo", {})).status == 200


async def test_a_failed_request_leaves_the_balance_as_it_is(platform: Platform, admin: str) -> None:
    @platform.caller.emulator.endpoint("me/broken", price=1)
    async def broken(input: Any) -> Any:
        raise RuntimeError("broken")

    platform.caller.emulator.accounts["emulator"].balance = Decimal(3)
    await platform.caller.run("me/broken", {})
    assert await left(platform, admin) == 3


async def test_an_account_without_a_balance_is_never_locked(platform: Platform, admin: str) -> None:
    assert platform.caller.emulator.accounts["emulator"].balance is None
    assert await left(platform, admin) == 1_000_000
    plain = (await platform.get(BILLING, key=admin)).data
    assert plain == {"username": "emulator"}


async def test_the_emulator_starts_with_a_balance_of_its_own_account() -> None:
    async with calling(Emulator(balance="0.0005")) as caller:
        assert (await caller.run("fal-ai/any-llm", {"prompt": "x"})).status == 200
        assert (await caller.run("fal-ai/any-llm", {"prompt": "x"})).status == 403
        other = caller.emulator.add_account("other:key")
        headers = {"Authorization": f"Key {other.key}"}
        assert (await caller.run("fal-ai/any-llm", {"prompt": "x"}, headers=headers)).status == 200


@pytest.mark.parametrize("balance", [-1, "much"], ids=repr)
def test_a_balance_that_is_not_an_amount_is_refused(balance: Any) -> None:
    with pytest.raises(ValueError, match="balance="):
        Emulator(balance=balance)
    with pytest.raises(ValueError, match="balance="):
        Emulator().accounts["emulator"].balance = balance


async def test_a_report_has_a_row_for_each_billed_request(platform: Platform, admin: str) -> None:
    await platform.caller.run("me/echo", {}, headers=platform.caller.with_headers(X_Fal_Tags="env=prod"))
    [row] = rows(await platform.get(FOCUS, key=admin, source="estimate"))
    assert (row["SkuId"], row["ConsumedUnit"], row["BilledCost"]) == ("me/echo", "call", "0.4")
    assert (row["BillingCurrency"], row["Tags"]) == ("USD", "{}")
    [row] = rows(await platform.get(FOCUS, key=admin, source="tagged-estimate"))
    assert row["Tags"] == '{"env": "prod"}'


async def test_an_invoice_has_the_requests_of_its_month(platform: Platform, admin: str) -> None:
    await platform.caller.run("me/echo", {})
    [job] = platform.caller.emulator.jobs.values()
    job.submitted_at = datetime(2026, 3, 31, tzinfo=UTC).timestamp()
    for query, count in (
        ({"charge_month": "2026-03"}, 1),
        ({"billing_month": "2026-04"}, 1),
        ({"charge_month": "2026-04"}, 0),
        ({}, 0),
    ):
        assert len(rows(await platform.get(FOCUS, key=admin, source="invoice", **query))) == count


@pytest.mark.parametrize(
    "query", [{}, {"source": "guess"}, {"source": "invoice", "charge_month": "2026-13"}], ids=str
)
async def test_a_wrong_query_of_a_report_gets_400(
    platform: Platform, admin: str, query: dict[str, str]
) -> None:
    assert refused(await platform.get(FOCUS, key=admin, **query)) == (400, "validation_error")


async def test_the_root_team_has_the_reports_of_all_teams(platform: Platform, admin: str) -> None:
    team = platform.caller.emulator.add_account("team:key")
    await platform.caller.run("me/echo", {}, headers={"Authorization": f"Key {team.key}"})
    assert rows(await platform.get(FOCUS, key=admin, source="estimate")) == []
    query = {"source": "estimate"}
    for reply in (
        await platform.get(FOCUS, key=admin, expand="organization", **query),
        await platform.get(TEAM_FOCUS, key=admin, **query),
        await platform.get(TEAM_FOCUS, key=admin, team_username="team", **query),
    ):
        assert [row["BillingAccountName"] for row in rows(reply)] == ["team"]
    for path, more in ((FOCUS, {"expand": "organization"}), (TEAM_FOCUS, {})):
        assert (await platform.get(path, key=team.admin_key, **query, **more)).status == 403


async def test_every_model_is_allowed_in_the_access_report(platform: Platform) -> None:
    found = rows(await platform.get("account/model-access-controls"))
    [flux] = [row for row in found if row["endpoint_id"] == "fal-ai/flux/dev"]
    assert flux["title"] == "FLUX.1 [dev]"
    assert {row["api_access"] for row in found} == {"ALLOWED"}


async def test_the_accounts_of_the_emulator_are_the_teams_of_the_organization(
    platform: Platform, admin: str
) -> None:
    team = platform.caller.emulator.add_account("team:key")
    found = await platform.listed("organization/teams", "teams", key=admin)
    assert [(row["username"], row["is_org_root"]) for row in found] == [("emulator", True), ("team", False)]
    assert refused(await platform.get("organization/teams", key=team.admin_key))[0] == 403
