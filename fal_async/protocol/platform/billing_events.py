"""What each request cost (protocol 11.9). Money is Decimal, in US dollars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs

from fal_async.config import Hosts
from fal_async.errors import ConfigurationError
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.protocol.platform.documents import Page, exact_object_of, page_of, raw_field, read
from fal_async.protocol.platform.queries import (
    ADMIN,
    ROOT_ADMIN,
    Moment,
    Names,
    Query,
    instant,
    listed,
    names,
    page_size,
    period,
    reading,
    single,
)
from fal_async.protocol.platform.usage_lines import AuthMethod, auth_in

MAX_SPAN = timedelta(days=90)
"""The longest period of one query (protocol 11.9)."""
MAX_TAGS = 10
"""The most values of the filter `tag` (protocol 11.9)."""
UNTAGGED = "(untagged)"
TAGGED = "tagged-billed"
"""The source that has tags."""
Tags = Mapping[str, str | tuple[str | None, ...] | list[str | None] | None]
"""The filter by tags: a value, several of which one must be set, or None for requests without the tag."""


@attrs.frozen(kw_only=True)
class BillingEvent:
    """What one request cost (protocol 11.9). A request that failed with 5xx has no event.

    Attributes:
        request_id: fal's id of the request.
        endpoint_id: the endpoint.
        cost_total: what was charged in US dollars, after discounts.
        timestamp: when the request was made.
        output_units: how many units were billed.
        unit_price: the price of a unit, before discounts.
        percent_discount: the discount in percent; None without one.
        cost_subtotal: the cost before discounts, in US dollars.
        cost_discount: the discount as an amount, in US dollars.
        auth_method: the key or login in words, with `expand="auth_method"`.
        auth: the key or login, with `expand="auth_method_structured"`.
        tags: the request's tags, with `source="tagged-billed"`.
        username: the team, for an organization.
        raw: the whole event.
    """

    request_id: str
    endpoint_id: str
    cost_total: Decimal
    timestamp: datetime | None = None
    output_units: Decimal | None = None
    unit_price: Decimal | None = None
    percent_discount: Decimal | None = None
    cost_subtotal: Decimal | None = None
    cost_discount: Decimal | None = None
    auth_method: str | None = None
    auth: AuthMethod | None = None
    tags: Mapping[str, Any] | None = attrs.field(default=None, eq=False)
    username: str | None = None
    raw: Mapping[str, Any] = raw_field()


def events_query(
    start: Moment | None, end: Moment | None, filtered: Query, expand: Names | None, limit: int | None
) -> Query:
    """Return the checked query of billing events. Raises ConfigurationError for more than 90 days."""
    query = period(start, end)
    if start is not None and end is not None and instant(end) - instant(start) > MAX_SPAN:
        raise ConfigurationError(
            f"end={query[1][1]}: expected at most 90 days after start: make several calls"
        )
    return [*query, *filtered, *listed("expand", names("expand", expand)), *page_size(limit)]


def tags_query(source: str | None, tags: Tags | None) -> Query:
    """Return `source` and the filter by tags, which needs the source that has tags (protocol 11.9)."""
    if tags is None:
        return single("source", source)
    values = tuple(_tag_values(tags))
    if not 1 <= len(values) <= MAX_TAGS:
        raise ConfigurationError(
            f"tags has {len(values)} values: expected 1 to {MAX_TAGS}, or None for no filter"
        )
    if source not in (None, TAGGED):
        raise ConfigurationError(f"source={source!r} with tags: expected {TAGGED!r}, or None")
    return [("source", TAGGED), *listed("tag", values)]


def _tag_values(tags: Tags) -> Iterator[str]:
    if not isinstance(tags, Mapping):
        raise ConfigurationError(
            f"tags is of type {type(tags).__name__}: expected a mapping of names to values"
        )
    for name, value in tags.items():
        for each in value if isinstance(value, list | tuple) else (value,):
            if not isinstance(name, str) or not name or not isinstance(each, str | None):
                raise ConfigurationError(f"tags: {name!r}: {each!r}: expected names and values of type str")
            yield f"{name}={UNTAGGED if each is None else each}"


def events_request(hosts: Hosts, query: Query, cursor: str | None = None) -> HttpRequest:
    return reading(hosts, "models/billing-events", query, cursor=cursor, needs=ADMIN)


def organization_events_request(hosts: Hosts, query: Query, cursor: str | None = None) -> HttpRequest:
    return reading(hosts, "organization/billing-events", query, cursor=cursor, needs=ROOT_ADMIN)


def parse_events(response: HttpResponse) -> Page[BillingEvent]:
    return page_of(exact_object_of(response), "billing_events", _event)


def _event(row: Mapping[str, Any], place: str) -> BillingEvent:
    return read(BillingEvent, row, place, auth=auth_in(row))
