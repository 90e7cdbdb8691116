"""Which requests were billed, how much, and by whom they were made (protocol 11.9).

A failed request is not billed. A request without a price is listed with a cost of 0.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import attrs

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.core import Call, Core
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.operations.platform.platform_clock import is_known, moment_of
from fal_async.emulator.operations.platform.query_values import listed


@attrs.frozen(kw_only=True)
class Filters:
    """The filters of a query; an empty one lets everything pass."""

    endpoint_ids: Collection[str]
    request_ids: Collection[str]
    key_ids: Collection[str]
    logins: Collection[str]

    def pass_on(self, job: Job) -> bool:
        key = job.credential.key
        login = job.account.nickname if job.credential.login else None
        return (
            (not self.endpoint_ids or job.endpoint_id in self.endpoint_ids)
            and (not self.request_ids or job.request_id in self.request_ids)
            and (not self.key_ids or (key is not None and key.key_id in self.key_ids))
            and (not self.logins or login in self.logins)
        )


def filters_of(call: Call) -> Filters:
    return Filters(
        endpoint_ids=listed(call, "endpoint_id"),
        request_ids=listed(call, "request_id"),
        key_ids=listed(call, "api_key_id"),
        logins=listed(call, "login_username"),
    )


def charged(
    core: Core, accounts: Collection[Account], start: datetime, end: datetime, filters: Filters
) -> list[Job]:
    """Return the billed requests that were sent in a time range, the newest first."""
    jobs = [
        job
        for job in core.jobs
        if job.account in accounts
        and _is_billed(core, job)
        and start <= moment_of(core, job.submitted_at) < end
        and filters.pass_on(job)
    ]
    return sorted(jobs, key=lambda job: (job.submitted_at, job.request_id), reverse=True)


def _is_billed(core: Core, job: Job) -> bool:
    done = job.completed_at is not None and is_known(core, job.completed_at)
    return done and not job.failed and bool(job.billable_units)


def auth_members(job: Job, expand: Collection[str], *, owner: bool = False) -> dict[str, Any]:
    """Return `auth_method` and `auth_method_structured`, if `expand` has them.

    `owner`: whether the first names the account, too, as an organisation's lists do.
    """
    credential, members = job.credential, dict[str, Any]()
    if "auth_method" in expand:
        members["auth_method"] = credential.label + (f" (owner: {job.account.nickname})" if owner else "")
    if "auth_method_structured" in expand:
        structured = {"detail": credential.label}
        if credential.key is not None:
            structured["api_key_id"] = credential.key.key_id
        if credential.login:
            structured["login_username"] = job.account.nickname
        members["auth_method_structured"] = structured
    return members
