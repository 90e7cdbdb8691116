"""`fal.platform.account`: balance and reports, on the emulator."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from fal_async import PermissionDeniedError, Session
from fal_async.emulator import Emulator

FLUX = "fal-ai/flux/dev"


async def test_the_balance_falls_by_the_exact_cost_of_a_request(
    fal: Session, admin: Session, emulator: Emulator
) -> None:
    next(iter(emulator.accounts.values())).balance = Decimal("10.00")
    before = await admin.platform.account.billing()
    await fal.platform.pricing(FLUX)
    cost = (await fal.subscribe(FLUX, {"prompt": "a cat"})).cost
    after = await admin.platform.account.billing()
    assert (before.current_balance, before.currency) == (Decimal("10.00"), "USD")
    assert before.username
    assert cost is not None
    assert after.current_balance == Decimal("10.00") - cost < Decimal("10.00")


async def test_a_focus_report_is_csv_with_a_line_for_what_was_used(fal: Session, admin: Session) -> None:
    await fal.subscribe(FLUX, {"prompt": "a cat"})
    start = datetime.now(UTC) - timedelta(days=1)
    report = await admin.platform.account.focus("estimate", start=start)
    rows = list(csv.DictReader(report.splitlines()))
    assert rows
    assert "BilledCost" in rows[0]


async def test_model_access_controls_are_csv_for_any_key(fal: Session) -> None:
    report = await fal.platform.account.model_access_controls()
    assert FLUX in report
    assert list(csv.DictReader(report.splitlines()))


async def test_an_organization_has_teams_usage_events_and_a_report(fal: Session, admin: Session) -> None:
    result = await fal.subscribe(FLUX, {"prompt": "a cat"})
    account = admin.platform.account
    teams = await account.organization_teams()
    assert [team.is_org_root for team in teams].count(True) == 1
    (line,) = await account.organization_usage(summary=True, products="model_apis")
    assert (line.endpoint_id, line.product, line.cost_discount) == (FLUX, "model_apis", None)
    assert line.username in {team.username for team in teams}
    (event,) = await account.organization_billing_events(team_usernames=line.username)
    assert (event.request_id, event.username) == (result.request_id, line.username)
    assert "BilledCost" in await account.organization_focus("estimate", team_username=line.username)


async def test_money_of_the_account_needs_an_admin_key(fal: Session) -> None:
    account = fal.platform.account
    for call in (account.billing(), account.focus("estimate"), account.organization_usage()):
        with pytest.raises(PermissionDeniedError, match="this call needs an admin key"):
            await call
    with pytest.raises(PermissionDeniedError, match="of the organization's root team"):
        await account.organization_teams()
