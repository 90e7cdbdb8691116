"""Billing reports as CSV with the columns of FOCUS, the FinOps specification (protocol 11.9).

An emulator writes no invoices: a report of the source `invoice` has what was used in a month.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.accounts.prices import CURRENCY, UNIT
from fal_async.emulator.core import Call, Core
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.operations.platform.charges import charged, filters_of
from fal_async.emulator.operations.platform.platform_clock import iso, now, time_range
from fal_async.emulator.operations.platform.platform_errors import invalid
from fal_async.emulator.operations.platform.query_values import choice
from fal_async.emulator.wire.answers import Answer

_SOURCES = ("invoice", "estimate", "tagged-estimate")
_LONGEST = 90
"""Days that an estimate reaches back."""
_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
_COLUMNS = (
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "ChargeCategory",
    "ServiceName",
    "ProviderName",
    "ResourceId",
    "SkuId",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ListUnitPrice",
    "ListCost",
    "EffectiveCost",
    "BilledCost",
    "Tags",
)


def report(core: Core, call: Call, accounts: Collection[Account]) -> Answer:
    """Return a row for each billed request of the accounts."""
    source = choice(call, "source", _SOURCES)
    if source is None:
        raise invalid(f"source: expected one of {', '.join(_SOURCES)}")
    start, end = _month(core, call) if source == "invoice" else time_range(core, call, longest=_LONGEST)
    jobs = charged(core, accounts, start, end, filters_of(call))
    return csv_answer([_row(core, job, tags=source == "tagged-estimate") for job in jobs], _COLUMNS)


def _month(core: Core, call: Call) -> tuple[datetime, datetime]:
    """Return start and end of the month of the charges: the one before `billing_month`; default the latest."""
    first = now(core).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if (text := call.query.get("charge_month")) is not None:
        first = _first_of(text, "charge_month")
    elif (text := call.query.get("billing_month")) is not None:
        first = (_first_of(text, "billing_month") - timedelta(days=1)).replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1)


def _first_of(text: str, name: str) -> datetime:
    month = _MONTH.fullmatch(text)
    if month is None:
        raise invalid(f"{name}={text!r}: expected a month such as 2026-01")
    return datetime(int(month[1]), int(month[2]), 1, tzinfo=UTC)


def _row(core: Core, job: Job, *, tags: bool) -> dict[str, Any]:
    price = job.price
    values = (
        job.account.nickname,
        job.account.nickname,
        CURRENCY,
        iso(core, job.submitted_at),
        iso(core, job.completed_at or job.submitted_at),
        "Usage",
        "Model APIs",
        "fal",
        job.request_id,
        job.endpoint_id,
        job.billable_units,
        UNIT if price is None else price.unit,
        "" if price is None else f"{price.unit_price:f}",
        *[f"{job.cost:f}"] * 3,
        json.dumps(job.options.tags if tags else {}),
    )
    return dict(zip(_COLUMNS, values, strict=True))


def csv_answer(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> Answer:
    """Return rows as CSV; without `columns` those of the first row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or (list(rows[0]) if rows else []), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return Answer(200, {"Content-Type": "text/csv; charset=utf-8"}, text.getvalue())
