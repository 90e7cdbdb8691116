"""Arguments of the platform API: times, lists and parts of paths, checked before sending (protocol 11.7)."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async import ConfigurationError, Endpoint
from fal_async.protocol.platform.queries import endpoint_ids, moment_text, names, path_part, period

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (NOON, "2026-03-01T12:00:00Z"),
        (datetime(2026, 3, 1, 13, tzinfo=ZoneInfo("Europe/Berlin")), "2026-03-01T12:00:00Z"),
        (datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC), "2026-03-01T12:00:00.000005Z"),
        (date(2026, 3, 1), "2026-03-01"),
        (NOON.timestamp(), "2026-03-01T12:00:00Z"),
        (int(NOON.timestamp()), "2026-03-01T12:00:00Z"),
        (0, "1970-01-01T00:00:00Z"),
    ],
)
def test_a_time_is_sent_in_utc_and_a_date_as_it_is(value: Any, text: str | None) -> None:
    assert moment_text("start", value) == text


@given(st.datetimes(timezones=st.timezones()))
def test_every_datetime_with_a_zone_is_sent_as_the_same_instant(value: datetime) -> None:
    try:
        in_utc = value.astimezone(UTC)
    except OverflowError:  # at the first or last day that Python knows
        return
    assert datetime.fromisoformat(moment_text("start", value) or "") == in_utc


def test_a_datetime_without_a_zone_raises_and_says_how_to_give_one() -> None:
    with pytest.raises(
        ConfigurationError, match=r"end has no time zone: .*tzinfo=UTC.* got 2026-03-01T00:00"
    ):
        moment_text("end", datetime(2026, 3, 1))


@pytest.mark.parametrize("value", ["2026-03-01", True, math.nan, math.inf, 1e18, -1e18, timedelta(1), b"1"])
def test_anything_else_is_not_a_time_and_raises(value: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"start=.*expected a datetime with a time zone, a date, or Unix"
    ):
        moment_text("start", value)


def test_an_end_that_is_not_after_the_start_raises() -> None:
    east = timezone(timedelta(hours=5))
    assert period(NOON, NOON + timedelta(microseconds=1))
    assert period(date(2026, 3, 1), NOON)
    assert period(NOON.timestamp(), (NOON + timedelta(hours=1)).astimezone(east))
    for end in (NOON, NOON.timestamp(), date(2026, 3, 1), datetime(2026, 3, 1, 16, tzinfo=east)):
        with pytest.raises(ConfigurationError, match="expected a time after start"):
            period(NOON, end)


def test_lists_are_taken_from_any_iterable_once_and_in_order() -> None:
    assert names("expand", None) == ()
    assert names("expand", "a") == ("a",)
    assert names("expand", (word for word in ("b", "a", "b"))) == ("b", "a")


def test_an_endpoint_value_stands_for_its_id_in_every_list() -> None:
    flux = Endpoint("fal-ai/flux/dev")
    assert endpoint_ids("endpoint_ids", flux) == ("fal-ai/flux/dev",)
    assert endpoint_ids("endpoint_ids", [flux, "fal-ai/flux/dev", "a/b"]) == ("fal-ai/flux/dev", "a/b")


@pytest.mark.parametrize("value", ["", " ", None, 7, b"x"])
def test_a_part_of_a_path_that_is_not_a_filled_str_raises(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"request_id=.*: expected a str"):
        path_part("request_id", value)


def test_a_part_of_a_path_can_not_lead_to_another_path() -> None:
    assert path_part("key_id", "../x?y#z") == "..%2Fx%3Fy%23z"
