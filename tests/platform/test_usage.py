"""`fal.platform`: usage, analytics and billing events, on the emulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from fal_async import AuthenticationError, PermissionDeniedError, Session
from fal_async.emulator import Emulator
from tests.quick import session_on

FLUX, LLM = "fal-ai/flux/dev", "fal-ai/any-llm"
ASK = {"prompt": "a cat", "num_images": 2}


async def test_usage_adds_up_what_results_cost(fal: Session, admin: Session) -> None:
    await fal.platform.pricing([FLUX, LLM])
    costs = [(await fal.subscribe(FLUX, ASK)).cost, (await fal.subscribe(LLM, {"prompt": "hi"})).cost]
    lines = await admin.platform.usage(summary=True)
    assert sum(line.cost_total for line in lines) == sum(cost for cost in costs if cost is not None) > 0
    assert {line.endpoint_id for line in lines} == {FLUX, LLM}
    assert all(line.quantity * (line.unit_price or 0) == line.cost_subtotal for line in lines)


async def test_usage_by_period_has_the_beginning_of_each_one_in_the_asked_zone(
    fal: Session, admin: Session
) -> None:
    await fal.subscribe(FLUX, ASK)
    today = datetime.now(UTC).date()
    lines = await admin.platform.usage(
        start=today - timedelta(days=2), timeframe="day", timezone="America/New_York", endpoint_ids=FLUX
    )
    (line,) = lines
    assert line.bucket is not None
    assert line.bucket.utcoffset() in (timedelta(hours=-5), timedelta(hours=-4))
    assert (line.bucket.hour, line.bucket.minute) == (0, 0)


async def test_usage_says_with_which_key_requests_were_made(
    fal: Session, admin: Session, emulator: Emulator
) -> None:
    await fal.subscribe(FLUX, ASK)
    expand = ["auth_method", "auth_method_structured"]
    (line,) = await admin.platform.usage(summary=True, expand=expand)
    assert line.auth is not None
    assert line.auth.api_key_id == emulator.key.partition(":")[0]
    assert line.auth_method
    assert await admin.platform.usage(summary=True, api_key_ids="other") == []


async def test_billing_events_are_listed_page_by_page_with_exact_costs(fal: Session, admin: Session) -> None:
    await fal.platform.pricing(FLUX)
    results = [await fal.subscribe(FLUX, ASK) for _ in range(3)]
    events = await admin.platform.billing_events(start=datetime.now(UTC) - timedelta(hours=1), limit=2)
    assert {event.request_id: event.cost_total for event in events} == {
        result.request_id: result.cost for result in results
    }
    assert all(event.timestamp is not None and event.timestamp.tzinfo is not None for event in events)


async def test_billing_events_are_found_by_request_and_by_tag(fal: Session, admin: Session) -> None:
    tagged = await fal.subscribe(FLUX, ASK, tags={"team": "red"})
    plain = await fal.subscribe(FLUX, ASK)
    (event,) = await admin.platform.billing_events(request_ids=plain.request_id)
    assert event.output_units == Decimal(str(plain.billable_units))
    (event,) = await admin.platform.billing_events(tags={"team": ["red", "blue"]})
    assert (event.request_id, event.tags) == (tagged.request_id, {"team": "red"})
    (event,) = await admin.platform.billing_events(tags={"team": None})
    assert event.request_id == plain.request_id


async def test_an_event_is_missing_while_the_figures_of_fal_lag(
    fal: Session, admin: Session, emulator: Emulator
) -> None:
    emulator.history.lag = 3600.0
    await fal.subscribe(FLUX, ASK)
    assert await admin.platform.billing_events() == []
    assert await admin.platform.usage(summary=True) == []
    emulator.history.lag = 0.0
    assert len(await admin.platform.billing_events()) == 1


async def test_analytics_count_requests_and_give_durations_in_seconds(fal: Session) -> None:
    await fal.subscribe(FLUX, ASK)
    await fal.subscribe(FLUX, ASK)
    (line,) = await fal.platform.analytics(FLUX, summary=True)
    assert (line.endpoint_id, line.request_count, line.success_count, line.error_count) == (FLUX, 2, 2, 0)
    assert line.p50_duration is not None
    assert line.p99_duration is None
    (line,) = await fal.platform.analytics(FLUX, metrics="cold_boot_count", timeframe="hour")
    assert line.cold_boot_count is not None
    assert line.bucket is not None
    assert line.request_count is None


@pytest.mark.parametrize("call", ["usage", "billing_events"])
async def test_an_api_key_is_told_to_be_replaced_by_an_admin_key(call: str, fal: Session) -> None:
    with pytest.raises(PermissionDeniedError, match=r"this call needs an admin key .*scope ADMIN") as caught:
        await getattr(fal.platform, call)()
    assert caught.value.error_type == "authorization_error"


async def test_a_key_that_fal_does_not_know_is_an_authentication_error(emulator: Emulator) -> None:
    async with session_on(emulator, credentials="un:known") as fal:
        with pytest.raises(AuthenticationError):
            await fal.platform.usage()
