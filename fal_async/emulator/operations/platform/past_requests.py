"""`GET /models/requests/*`: past requests, from the jobs (protocol 11.1, 11.10)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fal_async.emulator.core import Call, Core
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.operations.platform.page_numbers import paged
from fal_async.emulator.operations.platform.platform_clock import is_known, iso, moment_of, time_range
from fal_async.emulator.operations.platform.platform_errors import forbidden, invalid
from fal_async.emulator.operations.platform.query_values import (
    choice,
    flag,
    listed,
    number,
    request_uuid,
    required,
)
from fal_async.emulator.wire.answers import Answer

_STATUSES = {"success": range(200, 400), "user_error": range(400, 500), "error": range(500, 600)}
_COMPARED = ("query", "image_url", "video_url")
_ORDERS = ("ended_at", "duration")


def by_endpoint(core: Core, call: Call) -> Answer:
    """List the requests of endpoints."""
    _check_permitted(core)
    wanted, matches = required(call, "endpoint_id"), _filter(core, call)
    jobs = [job for job in _own(core, call) if job.endpoint_id in wanted and matches(job)]
    jobs.sort(key=_duration if choice(call, "sort_by", _ORDERS) == "duration" else _end, reverse=True)
    payloads = "payloads" in listed(call, "expand")
    return paged("items", jobs, call, lambda job: _item(core, job, payloads=payloads))


def search(core: Core, call: Call) -> Answer:
    """List the account's requests, newest first, or those most similar to a text, an image or a video first.

    The emulator does not look into pictures: similar to a text are inputs with its words, similar to an image or
    a video are requests in which its URL occurs.
    """
    _check_permitted(core)
    least = number(call, "min_similarity", 0.0, 1.0)
    found = [(one, job) for job in _searched(core, call) if (one := _similarity(call, job)) and one >= least]
    found.sort(key=lambda pair: (pair[0], pair[1].submitted_at), reverse=True)
    compared = any(name in call.query for name in _COMPARED)

    def row(pair: tuple[float, Job]) -> dict[str, Any]:
        return {**_item(core, pair[1], payloads=True), **({"similarity": pair[0]} if compared else {})}

    return paged("results", found, call, row)


def _searched(core: Core, call: Call) -> list[Job]:
    """Return the requests that pass the filters of a search."""
    if len(given := [name for name in _COMPARED if name in call.query]) > 1:
        raise invalid(f"{' and '.join(given)}: expected one of them")
    without, only = flag(call, "exclude_api_requests"), flag(call, "only_api_requests")
    if without and only:
        raise invalid("exclude_api_requests and only_api_requests: expected one of them")
    wanted = listed(call, "endpoint_id") or listed(call, "endpoint")
    return [
        job
        for job in _own(core, call)
        if _is_listed(core, job)
        and (not wanted or job.endpoint_id in wanted)
        and not (without and job.credential.key is not None)
        and not (only and job.credential.key is None)
    ]


def _similarity(call: Call, job: Job) -> float:
    """Return from 0 to 1 how similar a request is to what the caller looks for."""
    words = call.query.get("query", "").lower().split()
    looked_for = words + [call.query[name].lower() for name in _COMPARED[1:] if name in call.query]
    if not looked_for:
        return 1.0
    text = json.dumps([job.endpoint_id, job.input, output_of(job)], ensure_ascii=False, default=str).lower()
    return sum(part in text for part in looked_for) / len(looked_for)


def _check_permitted(core: Core) -> None:
    if not core.history.permitted:
        raise forbidden("This API key may not read requests: it needs models:requests:read.")


def _own(core: Core, call: Call) -> list[Job]:
    return [job for job in core.jobs if job.account is call.account]


def _filter(core: Core, call: Call) -> Callable[[Job], bool]:
    request_id, status = call.query.get("request_id"), choice(call, "status", _STATUSES)
    request_id = None if request_id is None else request_uuid(request_id)
    # The default range is longer with a request id (11.1).
    start, end = time_range(core, call, days=1 if request_id is None else 90)
    history = core.history

    def matches(job: Job) -> bool:
        ended = _ended(core, job)
        if not _is_listed(core, job) or request_id not in (None, job.request_id):
            return False
        moment = job.submitted_at if history.filters_by == "sent_at" else job.completed_at if ended else None
        # Compared as microseconds, because the items show times so.
        if moment is None or not start <= moment_of(core, moment) < end:
            return False
        return status is None or (ended and job.answer is not None and job.answer.status in _STATUSES[status])

    return matches


def _is_listed(core: Core, job: Job) -> bool:
    return _ended(core, job) or (not core.history.only_ended and is_known(core, job.submitted_at))


def _ended(core: Core, job: Job) -> bool:
    """Return whether the history shows the job as ended."""
    return job.completed_at is not None and is_known(core, job.completed_at)


def _item(core: Core, job: Job, *, payloads: bool) -> dict[str, Any]:
    item: dict[str, Any] = {
        "request_id": job.request_id,
        "endpoint_id": job.endpoint_id,
        "sent_at": iso(core, job.submitted_at),
        "started_at": iso(core, job.started_at or job.submitted_at),
    }
    ended = _ended(core, job)
    if ended and job.completed_at is not None and job.answer is not None:
        item |= {
            "ended_at": iso(core, job.completed_at),
            "status_code": job.answer.status,
            "duration": _duration(job),
        }
    # X-Fal-Store-IO: 0 leaves input and output out of the history, as a setting of the account does (3.1, 13).
    if payloads and core.history.payloads and job.options.store_io and not job.payloads_deleted:
        item |= {"json_input": job.input, "json_output": output_of(job) if ended else None}
    return item


def output_of(job: Job) -> Any:
    if job.answer is None:
        return None
    try:
        return json.loads(job.answer.body)
    except ValueError:
        return None


def _end(job: Job) -> float:
    return job.completed_at or job.submitted_at


def _duration(job: Job) -> float:
    return job.inference_time or 0.0
