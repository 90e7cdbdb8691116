"""The account's balance, teams and reports (protocol 11.2, 11.9, 11.11). Money is Decimal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import attrs

from fal_async.checks import check_flag, check_str
from fal_async.config import Hosts
from fal_async.errors import ConfigurationError
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.protocol.platform.documents import exact_object_of, object_of, raw_field, read, rows_in
from fal_async.protocol.platform.queries import ADMIN, ROOT_ADMIN, Query, reading, single

_CSV = "text/csv"
_MONTH = r"\d{4}-(0[1-9]|1[0-2])"


@attrs.frozen(kw_only=True)
class AccountBilling:
    """The account and its balance (protocol 11.11).

    Attributes:
        username: the name of the account.
        current_balance: the credits that are left; None if fal did not send them.
        currency: three letters, such as `"USD"`; None without a balance.
        raw: the whole response.
    """

    username: str | None = None
    current_balance: Decimal | None = None
    currency: str | None = None
    raw: Mapping[str, Any] = raw_field()


@attrs.frozen(kw_only=True)
class Team:
    """A team of an organization (protocol 11.11).

    Attributes:
        username: the name that `team_usernames` takes.
        name: the name for people.
        is_org_root: whether it is the root team, whose admin key may read about all teams.
        created_at: when it was created.
        raw: the whole entry.
    """

    username: str
    name: str | None = None
    is_org_root: bool | None = None
    created_at: datetime | None = None
    raw: Mapping[str, Any] = raw_field()


def billing_request(hosts: Hosts) -> HttpRequest:
    return reading(hosts, "account/billing", [("expand", "credits")], needs=ADMIN)


def parse_billing(response: HttpResponse) -> AccountBilling:
    document = exact_object_of(response)
    found = document.get("credits")
    balance = found if isinstance(found, Mapping) else {}
    return read(AccountBilling, {**document, **balance}, raw=document)


def access_controls_request(hosts: Hosts) -> HttpRequest:
    return reading(hosts, "account/model-access-controls", accept=_CSV)


def focus_query(
    source: str,
    series: Query,
    *,
    billing_month: str | None,
    charge_month: str | None,
    organization: bool = False,
    team_username: str | None = None,
) -> Query:
    """Return the checked query of a FOCUS report. `series`: the parameters of its period."""
    check_str("source", source, such_as="estimate")
    check_flag("organization", organization)
    if billing_month is not None and charge_month is not None:
        raise ConfigurationError("billing_month and charge_month exclude each other: expected one of them")
    return [
        ("source", source),
        *_month("billing_month", billing_month),
        *_month("charge_month", charge_month),
        *series,
        *([("expand", "organization")] if organization else []),
        *single("team_username", team_username),
    ]


def _month(name: str, value: str | None) -> Query:
    if value is not None and not (isinstance(value, str) and re.fullmatch(_MONTH, value)):
        raise ConfigurationError(f"{name}={value!r}: expected a month such as '2026-01'")
    return single(name, value)


def focus_request(hosts: Hosts, query: Query) -> HttpRequest:
    return reading(hosts, "account/focus", query, needs=ADMIN, accept=_CSV)


def organization_focus_request(hosts: Hosts, query: Query) -> HttpRequest:
    return reading(hosts, "organization/focus", query, needs=ROOT_ADMIN, accept=_CSV)


def parse_csv(response: HttpResponse) -> str:
    """Return the text of a report, without a byte order mark."""
    return response.body.decode("utf-8-sig", "replace")


def teams_request(hosts: Hosts) -> HttpRequest:
    return reading(hosts, "organization/teams", needs=ROOT_ADMIN)


def parse_teams(response: HttpResponse) -> tuple[Team, ...]:
    rows = rows_in(object_of(response), "teams")
    return tuple(read(Team, row, f"$.teams[{at}]") for at, row in enumerate(rows))
