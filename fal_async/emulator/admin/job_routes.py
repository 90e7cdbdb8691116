"""`/_emulator`, `jobs` and `books`: what was accepted, and what became of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs

from fal_async.emulator.admin.order import Order, Routes
from fal_async.emulator.jobs.books import Line
from fal_async.emulator.jobs.job import Job


def _summary(order: Order) -> dict[str, Any]:
    core, jobs = order.core, list(order.core.jobs)
    return {
        "counts": core.recorder.counts(),
        "jobs": len(jobs),
        "states": Counter(job.state for job in jobs),
        "faults": len(core.faults),
        "faults_struck": core.faults.struck,
    }


def _jobs(order: Order) -> list[dict[str, Any]]:
    return [_job(job) for job in order.core.jobs]


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
    for line in order.core.jobs.books:
        one = sums.setdefault(line.endpoint_id, {"taken": 0, "inputs": 0, "repeated": []})
        one["taken"] += line.taken
        one["inputs"] += 1
        if line.taken > 1:
            one["repeated"].append(_line(line))
    return sums


def _inputs(order: Order) -> list[dict[str, Any]]:
    return [_line(line) for line in order.core.jobs.books]


def _line(line: Line) -> dict[str, Any]:
    return {**attrs.asdict(line), "taken": line.taken}


ROUTES: Routes = {
    ("GET", ""): _summary,
    ("GET", "jobs"): _jobs,
    ("GET", "books"): _books,
    ("GET", "books/inputs"): _inputs,
}
