"""`GET /models/usage` and that of the organisation: what was used, and its cost (protocol 11.9, 11.11)."""

from __future__ import annotations

import json
from collections.abc import Collection
from decimal import Decimal
from typing import Any

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.accounts.prices import CURRENCY, UNIT
from fal_async.emulator.core import Call, Core
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.operations.platform.charges import auth_members, charged, filters_of
from fal_async.emulator.operations.platform.query_values import listed
from fal_async.emulator.operations.platform.time_buckets import series_answer, series_of
from fal_async.emulator.wire.answers import Answer


def usage(core: Core, call: Call) -> Answer:
    """Return the use of the caller's account."""
    series, expand = series_of(core, call), listed(call, "expand")
    jobs = charged(core, [call.account], series.start, series.end, filters_of(call))
    return series_answer(
        core, call, series, jobs, lambda some: [_line(*one) for one in _grouped(some, expand)]
    )


def organization_usage(core: Core, call: Call, teams: Collection[Account]) -> Answer:
    """Return the use of teams. Its lines have the team, and no discounts."""
    series, expand = series_of(core, call), listed(call, "expand")
    jobs = charged(core, teams, series.start, series.end, filters_of(call))

    def lines(some: Collection[Job]) -> list[dict[str, Any]]:
        return [_team_line(*one) for one in _grouped(some, expand, teams=True)]

    return series_answer(core, call, series, jobs, lines)


def _grouped(
    jobs: Collection[Job], expand: Collection[str], *, teams: bool = False
) -> list[tuple[dict[str, Any], Decimal, Decimal]]:
    """Return the members by which requests form a line, with their units and their cost."""
    groups: dict[str, tuple[dict[str, Any], Decimal, Decimal]] = {}
    for job in jobs:
        price = job.price
        members = {
            **({"username": job.account.nickname, "product": "model_apis"} if teams else {}),
            "endpoint_id": job.endpoint_id,
            "unit": UNIT if price is None else price.unit,
            "unit_price": Decimal() if price is None else price.unit_price,
            "currency": CURRENCY,
            **auth_members(job, expand, owner=teams),
        }
        name = json.dumps(members, default=str)
        _, units, cost = groups.get(name, (members, Decimal(), Decimal()))
        groups[name] = members, units + Decimal(str(job.billable_units)), cost + job.cost
    return sorted(groups.values(), key=lambda group: group[2], reverse=True)


def _line(members: dict[str, Any], units: Decimal, cost: Decimal) -> dict[str, Any]:
    costs = {"cost_subtotal": cost, "cost_discount": Decimal(), "cost_total": cost, "cost": cost}
    return {**members, "quantity": units, "percent_discount": None, **costs}


def _team_line(members: dict[str, Any], units: Decimal, cost: Decimal) -> dict[str, Any]:
    return {**members, "quantity": units, "cost": cost}
