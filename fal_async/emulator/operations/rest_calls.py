"""Small calls of rest.fal.ai that programs around inference make: undocumented, and seen in use (protocol 11.5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from fal_async.emulator.core import Call, Core
from fal_async.emulator.jobs.job import IN_QUEUE, Job
from fal_async.emulator.operations.platform.platform_clock import is_known
from fal_async.emulator.wire.answers import (
    Answer,
    bad_request,
    json_answer,
    method_not_allowed,
    request_error,
)

_YES = frozenset({"1", "true"})
_LOCKED = "Exhausted balance. Top up your balance at fal.ai/dashboard/billing"


async def rest(core: Core, call: Call) -> Answer:
    match call.route.rest.split("/"):
        case ["users", "current"]:
            methods: dict[str, Callable[[], Answer]] = {"GET": lambda: _user(call)}
        case ["applications", user, app, "queue"]:
            app_id = f"{user}/{app}"
            if not any(served.app_id == app_id for served in core.endpoints):
                return core.endpoints.missing(app_id)
            methods = {"GET": lambda: _size(core, call, app_id), "DELETE": lambda: _flush(core, call, app_id)}
        case ["requests", request_id]:
            methods = {"GET": lambda: _record(core, call, request_id)}
        case _:
            return request_error(404, f"/{call.route.host}/{call.route.rest} is not served by the emulator")
    answer = methods.get(call.request.method)
    return method_not_allowed() if answer is None else answer()


def _user(call: Call) -> Answer:
    name, locked = call.account.nickname, call.account.locked
    document = {"user_id": name, "nickname": name, "full_name": name.title(), "email": f"{name}@example.com"}
    # fal's command line tool fails without these.
    state = {
        "is_locked": locked,
        "lock_reason": _LOCKED if locked else None,
        "is_personal": True,
        "is_paying": True,
    }
    return json_answer({**document, **state, "members": []})


def _waiting(core: Core, app_id: str) -> list[Job]:
    """Return the waiting requests of an app, of all callers, in order of arrival."""
    return [
        job
        for job in core.jobs
        if job.state == IN_QUEUE and job.via == "queue" and job.served.app_id == app_id
    ]


def _size(core: Core, call: Call, app_id: str) -> Answer:
    jobs = _waiting(core, app_id)
    document: dict[str, Any] = {"size": len(jobs)}
    if call.query.get("by_user", "").lower() in _YES:
        document["by_user"] = Counter(job.account.nickname for job in jobs)
    return json_answer(document)


def _flush(core: Core, call: Call, app_id: str) -> Answer:
    """Cancel the waiting requests: of one caller, and so many, if the query says so."""
    user, limit = call.query.get("caller_user_id"), call.query.get("limit")
    if limit is not None and not (limit.isascii() and limit.isdecimal()):
        return bad_request(f"limit={limit!r}: expected an int >= 0")
    jobs = [job for job in _waiting(core, app_id) if user in (None, job.account.nickname)]
    for job in jobs if limit is None else jobs[: int(limit)]:
        core.runners.of(job.served, job.account).cancel(job)
    return json_answer({})


def _record(core: Core, call: Call, request_id: str) -> Answer:
    """Return a request by its id alone; what it cost is known when the lag is over."""
    job = core.jobs.by_id.get(request_id)
    if job is None or job.account is not call.account:
        return request_error(404, f"Request {request_id} not found")
    billed = job.completed_at is not None and is_known(core, job.completed_at)
    return json_answer(
        {
            "request_id": job.request_id,
            "endpoint_id": job.endpoint_id,
            "billing_status": "BILLED" if billed else "PENDING",
            "billable_units": job.billable_units if billed else None,
            "cost": job.cost if billed else None,
            "cost_estimate_nano_usd": job.cost * 10**9 if billed else None,
        }
    )
