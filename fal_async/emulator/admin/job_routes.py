"""`/_emulator`, `jobs` and `books`: what was accepted, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from fal_async.emulator.admin.files_shown import data_of
from fal_async.emulator.admin.job_details import STATES, brief_job, state_of, whole_job
from fal_async.emulator.admin.listed import listed, wish_of
from fal_async.emulator.admin.masks import masked
from fal_async.emulator.admin.order import Order, Routes
from fal_async.emulator.jobs.books import Line
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.wire.answers import Answer, json_answer, request_error


def _summary(order: Order) -> dict[str, Any]:
    faults, jobs = order.faults, list(order.jobs)
    return {
        "counts": order.recorder.counts(),
        "jobs": len(jobs),
        "states": Counter(job.state for job in jobs),
        "faults": len(faults),
        "faults_struck": faults.struck,
    }


async def _jobs(order: Order) -> Answer:
    """List jobs, as `listed.py` describes, filtered by the query's `endpoint` and `state`."""
    core, wish = order.core, wish_of(order.call.query)
    return await listed(
        order.jobs,
        wish,
        name=lambda job: job.request_id,
        fits=_filter(order.call.query),
        texts=lambda job: (job.request_id, job.endpoint_id, job.error, job.input),
        shown=(lambda job: brief_job(core, job)) if wish.brief else _job,
    )


def _filter(query: Mapping[str, str]) -> Callable[[Job], bool] | None:
    endpoint, state = query.get("endpoint"), query.get("state")
    if state and state not in STATES:
        raise ValueError(f"state={state!r}: expected one of {', '.join(STATES)}")
    if not endpoint and not state:
        return None
    return lambda job: (not endpoint or job.endpoint_id == endpoint) and (not state or state_of(job) == state)


def _one(order: Order) -> Answer:
    """Return `jobs/{id}`, or the content of a data URI of its result: `jobs/{id}/data/{number}`."""
    request_id, _, number = order.name.partition("/data/")
    job = order.core.jobs.by_id.get(request_id)
    if job is None:
        return request_error(404, f"the emulator has no request {request_id}")
    if number:
        return data_of(job, int(number)) or request_error(404, "the result has no such data URI")
    return masked(json_answer(whole_job(order.core, job)))


def _job(job: Job) -> dict[str, Any]:
    names = (
        "request_id endpoint_id via state input submitted_at started_at completed_at attempts "
        "cancel_requests error error_type forgotten"
    )
    document = {name: getattr(job, name) for name in names.split()}
    document["account"] = job.account.nickname
    return {**document, "status_code": None if job.answer is None else job.answer.status}


def _books(order: Order) -> dict[str, Any]:
    """Return for each endpoint the numbers of accepted requests and of inputs, and the repeated inputs.

    `books/inputs` returns all inputs.
    """
    sums: dict[str, dict[str, Any]] = {}
    for line in order.books:
        one = sums.setdefault(line.endpoint_id, {"taken": 0, "inputs": 0, "repeated": []})
        one["taken"] += line.taken
        one["inputs"] += 1
        if line.taken > 1:
            one["repeated"].append(_line(line))
    return sums


def _inputs(order: Order) -> list[dict[str, Any]]:
    return [_line(line) for line in order.books]


def _line(line: Line) -> dict[str, Any]:
    return {**attrs.asdict(line), "taken": line.taken}


ROUTES: Routes = {
    ("GET", ""): _summary,
    ("GET", "jobs"): _jobs,
    ("GET", "jobs/*"): _one,
    ("GET", "books"): _books,
    ("GET", "books/inputs"): _inputs,
}
