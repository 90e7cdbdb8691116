"""How requests went: counts and durations, by endpoint and time (protocol 11.9)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from fal_async.config import Hosts
from fal_async.errors import ConfigurationError
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.protocol.platform.documents import Page, object_of, page_with, raw_field, read
from fal_async.protocol.platform.queries import (
    Endpoints,
    Names,
    Query,
    listed,
    names,
    page_size,
    reading,
    required_ids,
)
from fal_async.protocol.platform.usage_lines import expanded, lines_in

METRICS = (
    "request_count",
    "success_count",
    "user_error_count",
    "error_count",
    "p50_duration",
    "p95_duration",
)
"""What `analytics` asks for by default."""


@attrs.frozen(kw_only=True)
class AnalyticsLine:
    """How the requests of one endpoint went: in one period, or in all of them (protocol 11.9).

    A metric that was not asked for is None. Durations are in seconds; `p95_duration` is the 95th percentile.

    Attributes:
        endpoint_id: the endpoint.
        bucket: the beginning of the period, in the `timezone` that was asked for; None in a summary.
        request_count: all requests.
        success_count: requests that ended with 2xx.
        user_error_count: requests that ended with 4xx.
        error_count: requests that ended with 5xx.
        startup_error_count: requests whose runner did not start.
        connection_error_count: requests whose runner was not reached.
        timeout_error_count: requests that took too long.
        runtime_error_count: requests that failed while they ran.
        p50_prepare_duration: the time before a request runs: 50th percentile.
        p75_prepare_duration: the same, 75th percentile.
        p90_prepare_duration: the same, 90th percentile.
        p95_prepare_duration: the same, 95th percentile.
        p99_prepare_duration: the same, 99th percentile.
        p25_duration: how long a request runs: 25th percentile.
        p50_duration: the same, 50th percentile.
        p75_duration: the same, 75th percentile.
        p90_duration: the same, 90th percentile.
        p95_duration: the same, 95th percentile.
        p99_duration: the same, 99th percentile.
        cold_boot_count: requests whose runner needed more than a second to start.
        p50_cold_boot_duration: how long such a start takes: 50th percentile.
        p75_cold_boot_duration: the same, 75th percentile.
        p90_cold_boot_duration: the same, 90th percentile.
        total_billable_duration: the sum of all running times that are billed.
        raw: the whole line.
    """

    endpoint_id: str
    bucket: datetime | None = None
    request_count: int | None = None
    success_count: int | None = None
    user_error_count: int | None = None
    error_count: int | None = None
    startup_error_count: int | None = None
    connection_error_count: int | None = None
    timeout_error_count: int | None = None
    runtime_error_count: int | None = None
    p50_prepare_duration: float | None = None
    p75_prepare_duration: float | None = None
    p90_prepare_duration: float | None = None
    p95_prepare_duration: float | None = None
    p99_prepare_duration: float | None = None
    p25_duration: float | None = None
    p50_duration: float | None = None
    p75_duration: float | None = None
    p90_duration: float | None = None
    p95_duration: float | None = None
    p99_duration: float | None = None
    cold_boot_count: int | None = None
    p50_cold_boot_duration: float | None = None
    p75_cold_boot_duration: float | None = None
    p90_cold_boot_duration: float | None = None
    total_billable_duration: float | None = None
    raw: Mapping[str, Any] = raw_field()


def analytics_query(
    ids: Endpoints, series: Query, *, metrics: Names, summary: bool, limit: int | None
) -> Query:
    """Return the whole query of a report. `ids`: the argument `endpoint_ids`."""
    wanted = names("metrics", metrics)
    if not wanted:
        raise ConfigurationError("metrics=None: expected at least one metric, such as 'request_count'")
    return [
        *listed("endpoint_id", required_ids(ids)),
        *series,
        *expanded(summary, wanted),
        *page_size(limit),
    ]


def analytics_request(hosts: Hosts, query: Query, cursor: str | None = None) -> HttpRequest:
    return reading(hosts, "models/analytics", query, cursor=cursor)


def parse_analytics(response: HttpResponse) -> Page[AnalyticsLine]:
    document = object_of(response)
    lines = lines_in(document)
    return page_with(
        document,
        tuple(read(AnalyticsLine, row, place, bucket=bucket, raw=row) for row, place, bucket in lines),
    )
