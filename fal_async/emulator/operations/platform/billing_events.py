"""`GET /models/billing-events`, and that of the organisation: a row for each billed request (protocol 11.9)."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.core import Call, Core
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.operations.platform.charges import auth_members, charged, filters_of
from fal_async.emulator.operations.platform.page_numbers import page_limit
from fal_async.emulator.operations.platform.platform_clock import iso, time_range
from fal_async.emulator.operations.platform.platform_errors import invalid
from fal_async.emulator.operations.platform.query_values import choice, listed
from fal_async.emulator.wire.answers import Answer, json_answer

_LARGEST = 10_000
_LONGEST = 90
"""Days."""
_SOURCES = ("billed", "tagged-billed")
_MOST_TAGS = 10
_UNTAGGED = "(untagged)"
_NANO = 10**9


def billing_events(core: Core, call: Call) -> Answer:
    """List the billed requests of the caller's account."""
    expand, tagged = listed(call, "expand"), choice(call, "source", _SOURCES) == "tagged-billed"
    tags = _tag_filter(call, tagged=tagged)

    def row(job: Job) -> dict[str, Any]:
        return {
            **_row(core, job),
            **auth_members(job, expand),
            **({"tags": job.options.tags} if tagged else {}),
        }

    jobs = _events(core, call, [call.account])
    return events_page(core, call, [job for job in jobs if _has_tags(job, tags)], row, largest=_LARGEST)


def organization_events(core: Core, call: Call, teams: Collection[Account], *, largest: int) -> Answer:
    """List the billed requests of teams."""
    expand = listed(call, "expand")

    def row(job: Job) -> dict[str, Any]:
        return {"username": job.account.nickname, **_row(core, job), **auth_members(job, expand, owner=True)}

    return events_page(core, call, _events(core, call, teams), row, largest=largest)


def _events(core: Core, call: Call, accounts: Collection[Account]) -> list[Job]:
    return charged(core, accounts, *time_range(core, call, longest=_LONGEST), filters_of(call))


def events_page(core: Core, call: Call, jobs: list[Job], row: Any, *, largest: int) -> Answer:
    """Return the rows after the cursor, which is base64 of the time and the id of the last row before them."""
    limit, cursor = page_limit(call, largest), call.query.get("cursor")
    names = [f"{iso(core, job.submitted_at)}|{job.request_id}" for job in jobs]
    start = 0 if cursor is None else _after(names, cursor)
    more = len(jobs) > start + limit
    following = base64.b64encode(names[start + limit - 1].encode()).decode() if more else None
    rows = [row(job) for job in jobs[start : start + limit]]
    return json_answer({"billing_events": rows, "next_cursor": following, "has_more": more})


def _after(names: list[str], cursor: str) -> int:
    try:
        last = base64.b64decode(cursor, validate=True).decode()
    except ValueError:
        last = ""
    if "|" not in last:
        raise invalid("cursor: expected the next_cursor of an earlier page")
    # Newest first, and the names sort as their times: a row that came meanwhile is not shown in the middle.
    return next((at for at, name in enumerate(names) if name < last), len(names))


def _row(core: Core, job: Job) -> dict[str, Any]:
    return {
        "request_id": job.request_id,
        "endpoint_id": job.endpoint_id,
        "timestamp": iso(core, job.submitted_at),
        "output_units": job.billable_units,
        "unit_price": None if job.price is None else job.price.unit_price,
        "percent_discount": None,
        "cost_subtotal": job.cost,
        "cost_discount": Decimal(),
        "cost_total": job.cost,
        "cost_estimate_nano_usd": job.cost * _NANO,
    }


def _tag_filter(call: Call, *, tagged: bool) -> Mapping[str, set[str]]:
    """Return the wanted values by key: different keys are joined by AND, values of one key by OR (11.9)."""
    wanted: dict[str, set[str]] = {}
    for pair in listed(call, "tag", most=_MOST_TAGS):
        key, equals, value = pair.partition("=")
        if not equals:
            raise invalid(f"tag={pair!r}: expected key=value")
        wanted.setdefault(key.strip().lower(), set()).add(value.strip())
    if wanted and not tagged:
        raise invalid("tag: expected source=tagged-billed beside it")
    return wanted


def _has_tags(job: Job, wanted: Mapping[str, set[str]]) -> bool:
    return all(job.options.tags.get(key, _UNTAGGED) in values for key, values in wanted.items())
