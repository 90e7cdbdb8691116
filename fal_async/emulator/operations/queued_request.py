"""Status, result and cancel of a queued request (protocol 4.2, 4.4, 4.5)."""

from __future__ import annotations

from typing import Any

from fal_async.emulator.core import Call, Core
from fal_async.emulator.jobs.job import COMPLETED, IN_QUEUE, Job, log_entries, status_entry
from fal_async.emulator.operations.submit import job_urls, outcome
from fal_async.emulator.wire.answers import Answer, json_answer, no_request, request_error

_YES = frozenset({"1", "true"})
"""fal's JS client sends `logs=1`, its Python client `logs=true`; both work (protocol 4.2)."""


def wants_logs(call: Call) -> bool:
    return call.query.get("logs", "").lower() in _YES


def status_document(core: Core, call: Call, job: Job) -> dict[str, Any]:
    """Return a status answer without the logs."""
    position = core.runners.of(job.served, job.account).position(job) if job.state == IN_QUEUE else None
    return {**status_entry(job, position=position), **job_urls(call, job.served)}


async def status(core: Core, call: Call) -> Answer:
    job = call.job
    if job is None:
        return no_request()
    await core.runners.of(job.served, job.account).look_at(job)
    document = status_document(core, call, job)
    if job.state != IN_QUEUE:
        document["logs"] = _visible_logs(job) if wants_logs(call) else None
    # 202 for waiting and running requests, 200 for completed ones (4.2).
    code = 200 if job.state == COMPLETED else 202
    return json_answer(document, code, {"x-fal-request-id": job.request_id})


def _visible_logs(job: Job) -> list[dict[str, Any]]:
    """Return the latest entries; the older ones are no longer in it if the endpoint has a window (4.2)."""
    window = job.served.log_window
    entries = job.logs if window is None else job.logs[-window:]
    return log_entries(entries, labels=job.served.log_labels)


async def result(core: Core, call: Call) -> Answer:
    if call.job is None or call.job.payloads_deleted:
        return no_request()
    if call.job.state != COMPLETED:
        answer = request_error(400, "Request is still in progress")
        return answer.with_headers({"x-fal-request-id": call.job.request_id})
    core.jobs.fetched(call.job)
    return outcome(call.job)


async def cancel(core: Core, call: Call) -> Answer:
    if call.job is None:
        return no_request()
    code, word = core.runners.of(call.job.served, call.job.account).cancel(call.job)
    return json_answer({"status": word}, code, {"x-fal-request-id": call.job.request_id})
