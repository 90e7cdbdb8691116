"""What was used, and what it cost, by endpoint and time (protocol 11.9). Money is Decimal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import attrs

from fal_async.checks import check_flag
from fal_async.config import Hosts
from fal_async.errors import ConfigurationError
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.protocol.platform.documents import (
    Page,
    exact_object_of,
    moment,
    page_with,
    raw_field,
    read,
    rows_in,
)
from fal_async.protocol.platform.queries import (
    ADMIN,
    ROOT_ADMIN,
    Endpoints,
    Moment,
    Names,
    Query,
    endpoint_ids,
    listed,
    names,
    page_size,
    period,
    reading,
    single,
)

T = TypeVar("T")
SERIES, SUMMARY = "time_series", "summary"


@attrs.frozen(kw_only=True)
class AuthMethod:
    """With which key or login a request was made.

    Attributes:
        detail: the name of the key or the login, for people.
        api_key_id: the id of the key; None if the request was made by a login.
        login_username: the user of the login; None if the request was made with a key.
        raw: the whole object.
    """

    detail: str | None = None
    api_key_id: str | None = None
    login_username: str | None = None
    raw: Mapping[str, Any] = raw_field()


@attrs.frozen(kw_only=True)
class UsageLine:
    """What was used of one endpoint at one price: in one period, or in all of them (protocol 11.9).

    Attributes:
        endpoint_id: the endpoint; for other products of an organization, what was billed.
        cost_total: what was charged, after discounts.
        unit: what is counted, such as `"image"`.
        quantity: how many units.
        unit_price: the price of a unit, before discounts.
        percent_discount: the discount in percent, from 0 to 100; None without one.
        cost_subtotal: the cost before discounts; None for an organization.
        cost_discount: the discount as an amount; None for an organization.
        currency: three letters, such as `"USD"`.
        bucket: the beginning of the period, in the `timezone` that was asked for; None in a summary.
        auth_method: the key or login in words, with `expand="auth_method"`.
        auth: the key or login, with `expand="auth_method_structured"`.
        username: the team, for an organization.
        product: `"model_apis"`, `"serverless"` or `"compute"`, for an organization.
        raw: the whole line.
    """

    endpoint_id: str
    cost_total: Decimal
    unit: str = ""
    quantity: Decimal = Decimal(0)
    unit_price: Decimal | None = None
    percent_discount: Decimal | None = None
    cost_subtotal: Decimal | None = None
    cost_discount: Decimal | None = None
    currency: str = "USD"
    bucket: datetime | None = None
    auth_method: str | None = None
    auth: AuthMethod | None = None
    username: str | None = None
    product: str | None = None
    raw: Mapping[str, Any] = raw_field()


def series_query(
    *,
    start: Moment | None = None,
    end: Moment | None = None,
    timezone: str | None = None,
    timeframe: str | None = None,
    bound_to_timeframe: bool | None = None,
) -> Query:
    """Return the checked parameters that all time series have (protocol 11.7)."""
    check_flag("bound_to_timeframe", bound_to_timeframe, or_none=True)
    bound = None if bound_to_timeframe is None else str(bound_to_timeframe).lower()  # fal reads it as text
    return [
        *period(start, end),
        *single("timezone", timezone),
        *single("timeframe", timeframe),
        *single("bound_to_timeframe", bound),
    ]


def expanded(summary: bool, expand: Names | None) -> Query:
    """Return `expand` with the form of the answer, which is always sent (protocol 11.9).

    Raises ConfigurationError if `expand` has a form: with both of them, each amount would be counted twice.
    """
    check_flag("summary", summary)
    words = names("expand", expand)
    if form := next((word for word in words if word in (SERIES, SUMMARY)), None):
        raise ConfigurationError(f"expand has {form!r}: use summary={form == SUMMARY} instead")
    return listed("expand", (SUMMARY if summary else SERIES, *words))


def filters(
    *,
    endpoint_id: Endpoints | None = None,
    request_id: Names | None = None,
    api_key_id: Names | None = None,
    login_username: Names | None = None,
    team_username: Names | None = None,
    product: Names | None = None,
) -> Query:
    """Return the checked filters of usage and billing events. An argument's name is the parameter with an "s"."""
    return [
        *listed("endpoint_id", endpoint_ids("endpoint_ids", endpoint_id)),
        *listed("request_id", names("request_ids", request_id)),
        *listed("api_key_id", names("api_key_ids", api_key_id)),
        *listed("login_username", names("login_usernames", login_username)),
        *listed("team_username", names("team_usernames", team_username)),
        *listed("product", names("products", product)),
    ]


def usage_query(
    series: Query, filtered: Query, *, summary: bool, expand: Names | None, limit: int | None
) -> Query:
    """Return the whole query of a usage report."""
    return [*series, *filtered, *expanded(summary, expand), *page_size(limit)]


def usage_request(hosts: Hosts, query: Query, cursor: str | None = None) -> HttpRequest:
    return reading(hosts, "models/usage", query, cursor=cursor, needs=ADMIN)


def organization_usage_request(hosts: Hosts, query: Query, cursor: str | None = None) -> HttpRequest:
    return reading(hosts, "organization/usage", query, cursor=cursor, needs=ROOT_ADMIN)


def parse_usage(response: HttpResponse) -> Page[UsageLine]:
    document = exact_object_of(response)
    return page_with(document, tuple(_lines(document)))


def _lines(document: Mapping[str, Any]) -> Iterator[UsageLine]:
    for row, place, bucket in lines_in(document):
        # `cost` is the older name, and an organization has only this one (protocol 11.9, 11.11).
        total = {"cost_total": row["cost"]} if "cost" in row and "cost_total" not in row else {}
        auth = auth_in(row)
        yield read(UsageLine, {**row, **total}, place, bucket=bucket, auth=auth, raw=row)


def lines_in(document: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str, datetime | None]]:
    """Yield each line of a report with its place and the beginning of its period.

    Raises ResponseDecodeError if the document has neither form.
    """
    if SUMMARY in document and SERIES not in document:
        for index, row in enumerate(rows_in(document, SUMMARY)):
            yield row, f"$.{SUMMARY}[{index}]", None
        return
    for index, bucket in enumerate(rows_in(document, SERIES)):
        place = f"$.{SERIES}[{index}]"
        for within, row in enumerate(rows_in(bucket, "results", place)):
            yield row, f"{place}.results[{within}]", moment(bucket.get("bucket"))


def auth_in(row: Mapping[str, Any]) -> AuthMethod | None:
    """Return the key or login of a row; None if it was not asked for."""
    found = row.get("auth_method_structured")
    return read(AuthMethod, found) if isinstance(found, Mapping) else None
