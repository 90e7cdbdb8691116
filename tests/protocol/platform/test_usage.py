"""Usage, analytics and billing events: queries, exact money, and both forms of a report (protocol 11.9)."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async import ConfigurationError, ResponseDecodeError
from fal_async.protocol.platform.analytics_lines import (
    METRICS,
    AnalyticsLine,
    analytics_query,
    analytics_request,
    parse_analytics,
)
from fal_async.protocol.platform.billing_events import (
    events_query,
    events_request,
    organization_events_request,
    parse_events,
    tags_query,
)
from fal_async.protocol.platform.usage_lines import (
    AuthMethod,
    filters,
    organization_usage_request,
    parse_usage,
    series_query,
    usage_query,
    usage_request,
)
from tests.protocol.platform.recorded import HOSTS, answer, path_of, query_of

LINE = (
    '{"endpoint_id": "a/b", "unit": "image", "quantity": 4, "unit_price": 0.025, "percent_discount": 12.5,'
    ' "cost_subtotal": 0.1, "cost_discount": 0.0125, "cost_total": 0.0875, "cost": 0.0875, "currency": "USD",'
    ' "auth_method": "Key 1", "auth_method_structured": {"detail": "Key 1", "api_key_id": "k-1"}, "is_new": true}'
)
ORGANIZATION_LINE = (
    '{"username": "team-a", "product": "compute", "endpoint_id": "type: gpu", "unit": "second", "quantity": 1.5,'
    ' "unit_price": 2, "cost": 3.000, "currency": "USD"}'
)
EVENT = (
    '{"request_id": "r-1", "endpoint_id": "a/b", "timestamp": "2026-03-01T12:00:00.5Z", "output_units": null,'
    ' "unit_price": null, "percent_discount": null, "cost_subtotal": 1.10, "cost_discount": 0, "cost_total": 1.10,'
    ' "cost_estimate_nano_usd": 1100000000, "tags": {"team": "x"}}'
)


def usage(*, summary: bool = False, expand: Any = None, limit: Any = None, **given: Any) -> Any:
    return usage_query(series_query(**given), [], summary=summary, expand=expand, limit=limit)


def test_a_usage_line_has_exact_money_and_who_used_it() -> None:
    (line,) = parse_usage(answer(f'{{"summary": [{LINE}], "next_cursor": null}}')).items
    assert [line.quantity, line.unit_price, line.percent_discount] == [4, Decimal("0.025"), Decimal("12.5")]
    assert [line.cost_subtotal, line.cost_discount] == [Decimal("0.1"), Decimal("0.0125")]
    assert line.cost_total == Decimal("0.0875")
    assert isinstance(line.quantity, Decimal)
    assert line.auth == AuthMethod(detail="Key 1", api_key_id="k-1")
    assert (line.bucket, line.auth_method, line.raw["is_new"]) == (None, "Key 1", True)


def test_lines_of_a_series_have_the_beginning_of_their_period_with_its_offset() -> None:
    series = f'{{"time_series": [{{"bucket": "2026-03-01T00:00:00-05:00", "results": [{LINE}, {LINE}]}}]}}'
    lines = parse_usage(answer(series)).items
    assert [line.bucket for line in lines] == [datetime(2026, 3, 1, tzinfo=timezone(timedelta(hours=-5)))] * 2


def test_a_line_of_an_organization_has_its_team_and_its_only_cost_as_total() -> None:
    (line,) = parse_usage(answer(f'{{"summary": [{ORGANIZATION_LINE}]}}')).items
    assert (line.username, line.product, line.endpoint_id) == ("team-a", "compute", "type: gpu")
    assert (line.cost_total, line.cost_subtotal, line.cost_discount) == (Decimal(3), None, None)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("{}", "$.time_series"),
        ('{"summary": null}', "$.summary"),
        ('{"summary": [{"endpoint_id": "a/b"}]}', "$.summary[0].cost_total"),
        ('{"summary": [{"endpoint_id": "a/b", "cost_total": "1"}]}', "$.summary[0].cost_total"),
        ('{"time_series": [{"bucket": "x"}]}', "$.time_series[0].results"),
    ],
)
def test_a_report_without_its_lines_or_a_cost_raises_with_the_place(body: str, path: str) -> None:
    with pytest.raises(ResponseDecodeError) as caught:
        parse_usage(answer(body))
    assert caught.value.paths == [f"required field missing @ {path}"]


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["summary", "time_series", "results", "bucket"]), inner)
        ),
    )
)
def test_any_json_gives_lines_or_an_error_of_decoding(body: Any) -> None:
    for parse in (parse_usage, parse_analytics, parse_events):
        with contextlib.suppress(ResponseDecodeError):
            assert parse(answer(body)).items == ()


def test_usage_always_asks_for_one_form_of_the_report() -> None:
    assert ("expand", "time_series") in usage()
    assert ("expand", "summary") in usage(summary=True)
    assert [pair for pair in usage(summary=True, expand="auth_method") if pair[0] == "expand"] == [
        ("expand", "summary"),
        ("expand", "auth_method"),
    ]


@pytest.mark.parametrize("word", ["summary", "time_series"])
def test_a_form_of_the_report_in_expand_raises_because_costs_would_count_twice(word: str) -> None:
    with pytest.raises(ConfigurationError, match=f"expand has '{word}': use summary="):
        usage(expand=[word])


def test_a_report_sends_its_period_filters_and_page_size() -> None:
    series = series_query(
        start=date(2026, 3, 1),
        end=datetime(2026, 3, 2, tzinfo=UTC),
        timezone="Europe/Berlin",
        timeframe="day",
        bound_to_timeframe=False,
    )
    filtered = filters(
        endpoint_id=["a/b", "c/d"],
        api_key_id="k-1",
        login_username="ann",
        team_username="t",
        product="compute",
    )
    query = usage_query(series, filtered, summary=False, expand=None, limit=7)
    assert query_of(usage_request(HOSTS, query, "c")) == [
        ("start", "2026-03-01"),
        ("end", "2026-03-02T00:00:00Z"),
        ("timezone", "Europe/Berlin"),
        ("timeframe", "day"),
        ("bound_to_timeframe", "false"),
        ("endpoint_id", "a/b"),
        ("endpoint_id", "c/d"),
        ("api_key_id", "k-1"),
        ("login_username", "ann"),
        ("team_username", "t"),
        ("product", "compute"),
        ("expand", "time_series"),
        ("limit", "7"),
        ("cursor", "c"),
    ]


def test_reports_about_money_ask_for_an_admin_key_and_analytics_for_any() -> None:
    assert usage_request(HOSTS, []).needs == events_request(HOSTS, []).needs == "an admin key"
    for build in (organization_usage_request, organization_events_request):
        assert build(HOSTS, []).needs == "an admin key of the organization's root team"
    assert analytics_request(HOSTS, []).needs == ""


def test_analytics_ask_for_metrics_that_the_line_has_and_pass_others_on() -> None:
    query = analytics_query("a/b", [], metrics=METRICS, summary=True, limit=None)
    assert query == [("endpoint_id", "a/b"), *(("expand", word) for word in ("summary", *METRICS))]
    fields = {field.name for field in AnalyticsLine.__attrs_attrs__}
    assert set(METRICS) < fields
    assert ("expand", "new_metric") in analytics_query(
        "a/b", [], metrics="new_metric", summary=False, limit=1
    )


@pytest.mark.parametrize(
    ("ids", "metrics"), [(None, METRICS), ([], METRICS), ("a/b", ()), ("a/b", None), ("a/b", "summary")]
)
def test_analytics_without_endpoints_or_metrics_raise_before_sending(ids: Any, metrics: Any) -> None:
    with pytest.raises(ConfigurationError):
        analytics_query(ids, [], metrics=metrics, summary=False, limit=None)


def test_metrics_are_numbers_and_those_that_were_not_asked_for_are_none() -> None:
    row = {"endpoint_id": "a/b", "request_count": 3, "p50_duration": 1.5, "p95_duration": 2, "other": 9}
    (line,) = parse_analytics(
        answer({"time_series": [{"bucket": "2026-03-01T00:00:00Z", "results": [row]}]})
    ).items
    assert (line.request_count, line.p50_duration, line.p95_duration, line.error_count) == (3, 1.5, 2.0, None)
    assert line.bucket == datetime(2026, 3, 1, tzinfo=UTC)
    assert line.raw["other"] == 9


def test_a_billing_event_has_its_cost_and_what_fal_left_open_as_none() -> None:
    (event,) = parse_events(answer(f'{{"billing_events": [{EVENT}], "next_cursor": "x"}}')).items
    assert (event.request_id, event.cost_total, event.output_units) == ("r-1", Decimal("1.10"), None)
    assert event.timestamp == datetime(2026, 3, 1, 12, 0, 0, 500_000, UTC)
    assert (event.tags, event.raw["cost_estimate_nano_usd"]) == ({"team": "x"}, 1_100_000_000)


def test_more_than_ninety_days_of_billing_events_raise_before_sending() -> None:
    start = date(2026, 1, 1)
    assert events_query(start, start + timedelta(days=90), [], None, None)
    with pytest.raises(ConfigurationError, match="at most 90 days after start"):
        events_query(start, start + timedelta(days=91), [], None, None)


def test_a_filter_by_tags_asks_for_the_source_that_has_tags() -> None:
    assert tags_query(None, None) == []
    assert tags_query("billed", None) == [("source", "billed")]
    assert tags_query(None, {"team": ["a", "b=c"], "user": None}) == [
        ("source", "tagged-billed"),
        ("tag", "team=a"),
        ("tag", "team=b=c"),
        ("tag", "user=(untagged)"),
    ]


@pytest.mark.parametrize(
    ("source", "tags"),
    [
        ("billed", {"a": "b"}),
        (None, {}),
        (None, {"a": [str(number) for number in range(11)]}),
        (None, {"": "b"}),
        (None, {"a": 5}),
        (None, "a=b"),
    ],
)
def test_a_wrong_filter_by_tags_raises_before_sending(source: Any, tags: Any) -> None:
    with pytest.raises(ConfigurationError):
        tags_query(source, tags)


def test_each_report_is_read_from_its_own_path() -> None:
    paths = [
        path_of(build(HOSTS, []))
        for build in (
            usage_request,
            analytics_request,
            events_request,
            organization_usage_request,
            organization_events_request,
        )
    ]
    assert paths == [
        "/v1/models/usage",
        "/v1/models/analytics",
        "/v1/models/billing-events",
        "/v1/organization/usage",
        "/v1/organization/billing-events",
    ]
