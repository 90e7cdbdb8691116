"""`GET /models/analytics`: how many requests an endpoint had, and how long they took (protocol 11.9)."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from fal_async.emulator.core import Call, Core
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.operations.platform.platform_clock import is_known, moment_of
from fal_async.emulator.operations.platform.platform_errors import invalid
from fal_async.emulator.operations.platform.query_values import listed, required
from fal_async.emulator.operations.platform.time_buckets import LISTS, series_answer, series_of
from fal_async.emulator.wire.answers import Answer

_STATUSES = {
    "success_count": range(200, 400),
    "user_error_count": range(400, 500),
    "error_count": range(500, 600),
}
_ERRORS = {
    "startup_error_count": {"startup_timeout", "runner_scheduling_failure"},
    "connection_error_count": {
        "runner_connection_timeout",
        "runner_disconnected",
        "runner_connection_refused",
        "runner_connection_error",
    },
    "timeout_error_count": {"request_timeout"},
    "runtime_error_count": {"internal_error", "runner_server_error"},
}
_PREPARING = {f"p{percent}_prepare_duration": percent for percent in (50, 75, 90, 95, 99)}
_RUNNING = {f"p{percent}_duration": percent for percent in (25, 50, 75, 90, 95, 99)}
_COLD = ("cold_boot_count", "p50_cold_boot_duration", "p75_cold_boot_duration", "p90_cold_boot_duration")
"""The emulator's runners are always warm, so that these are 0."""
METRICS = ("request_count", *_STATUSES, *_ERRORS, *_PREPARING, *_RUNNING, *_COLD, "total_billable_duration")


def analytics(core: Core, call: Call) -> Answer:
    """Return the metrics that `expand` names, of endpoints."""
    wanted, expand = required(call, "endpoint_id"), listed(call, "expand") or [LISTS[0], METRICS[0]]
    metrics = [name for name in METRICS if name in expand]
    if not metrics:
        raise invalid("expand: expected at least one metric, such as request_count")
    series = series_of(core, call)
    jobs = [
        job
        for job in core.jobs
        if job.account is call.account
        and job.endpoint_id in wanted
        and job.completed_at is not None
        and is_known(core, job.completed_at)
        and series.start <= moment_of(core, job.submitted_at) < series.end
    ]

    def lines(some: Collection[Job]) -> list[dict[str, Any]]:
        by_id = {one: [job for job in some if job.endpoint_id == one] for one in wanted}
        return [_line(one, jobs, metrics) for one, jobs in by_id.items() if jobs]

    return series_answer(core, call, series, jobs, lines)


def _line(endpoint_id: str, jobs: list[Job], metrics: list[str]) -> dict[str, Any]:
    return {"endpoint_id": endpoint_id, **{name: _metric(name, jobs) for name in metrics}}


def _metric(name: str, jobs: list[Job]) -> float:
    if name == "request_count":
        return len(jobs)
    if name in _STATUSES:
        return sum(job.answer is not None and job.answer.status in _STATUSES[name] for job in jobs)
    if name in _ERRORS:
        return sum(job.error_type in _ERRORS[name] for job in jobs)
    if name in _PREPARING:
        waited = [(job.started_at or job.submitted_at) - job.submitted_at for job in jobs]
        return _percentile(_PREPARING[name], waited)
    durations = [job.inference_time or 0.0 for job in jobs]
    if name in _RUNNING:
        return _percentile(_RUNNING[name], durations)
    return sum(durations) if name == "total_billable_duration" else 0


def _percentile(percent: int, values: list[float]) -> float:
    """Return the smallest value that so many percent of the values do not exceed."""
    return max(0.0, sorted(values)[math.ceil(len(values) * percent / 100) - 1])
