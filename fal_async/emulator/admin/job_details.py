"""One job as `/_emulator` shows it: a line of a table, or everything that is known of it."""

from __future__ import annotations

from typing import Any

import attrs

from fal_async.emulator.admin.files_shown import data_uris_of, files_of, picture_of
from fal_async.emulator.admin.masks import masked_url, shortened, summary
from fal_async.emulator.admin.request_routes import brief_request
from fal_async.emulator.core import Core
from fal_async.emulator.jobs.job import IN_PROGRESS, IN_QUEUE, Job
from fal_async.emulator.jobs.pace import polls_of
from fal_async.emulator.webhooks.deliveries import WebhookAttempt
from fal_async.emulator.wire.answers import CANCELLED, Answer

STATES = ("queued", "running", "completed", "failed", "cancelled")
_LOGS, _REQUESTS, _ATTEMPTS = 1000, 100, 100
"""How many log entries, HTTP requests and webhook attempts of a job are shown: the latest ones."""
_SHOWN = 32 * 1024 * 1024
"""Bytes of a result that are shown."""


def state_of(job: Job) -> str:
    """Return the state as a person names it: fal calls failed and cancelled requests COMPLETED, too."""
    if job.state in (IN_QUEUE, IN_PROGRESS) or job.answer is None:
        return "queued" if job.state == IN_QUEUE else "running"
    if job.answer.status == CANCELLED:
        return "cancelled"
    return "failed" if job.failed else "completed"


def brief_job(core: Core, job: Job) -> dict[str, Any]:
    """Return the line of a table."""
    return {
        **_common(job),
        "summary": summary(job.input),
        "picture": picture_of(core, job.answer),
    }


def _common(job: Job) -> dict[str, Any]:
    names = (
        "request_id endpoint_id via submitted_at started_at completed_at attempts error error_type "
        "workflow_request_id forgotten"
    )
    return {
        **{name: getattr(job, name) for name in names.split()},
        "state": state_of(job),
        "account": job.account.nickname,
        "status_code": None if job.answer is None else job.answer.status,
        "cost": job.cost,
    }


def whole_job(core: Core, job: Job) -> dict[str, Any]:
    """Return everything: long texts are cut, and of long lists the latest entries are shown."""
    names = "cancel_requests inference_time billable_units gateway_request_id payloads_deleted recording"
    requests = [
        (number, entry) for number, entry in core.recorder.numbered() if entry.request_id == job.request_id
    ]
    return {
        **_common(job),
        **{name: getattr(job, name) for name in names.split()},
        "queue_position": core.runners.of(job.served, job.account).position(job)
        if job.state == IN_QUEUE
        else None,
        "input": shortened(job.input),
        "options": _options(job),
        "logs": shortened(job.logs[-_LOGS:]),
        "logs_total": len(job.logs),
        "exception": None if job.exception is None else shortened(repr(job.exception), 500),
        "price": None if job.price is None else attrs.asdict(job.price),
        "result": None if job.answer is None else _result(job.answer),
        "files": [*files_of(core, job.answer), *data_uris_of(job)],
        "polls": attrs.asdict(polls) if (polls := polls_of(job)) else None,
        "steps": [_step(core, node, request_id) for node, request_id in job.steps.items()],
        "webhook": _webhook(core, job),
        "requests": [brief_request(number, entry) for number, entry in requests[-_REQUESTS:]],
        "requests_total": len(requests),
    }


def _step(core: Core, node: str, request_id: str) -> dict[str, Any]:
    """Return a step of a workflow; without its state if its request is deleted."""
    step = core.jobs.by_id.get(request_id)
    known = (
        {} if step is None else {"state": state_of(step), "endpoint_id": step.endpoint_id, "cost": step.cost}
    )
    return {
        "node": node,
        "request_id": request_id,
        "state": "deleted",
        "endpoint_id": None,
        "cost": 0,
        **known,
    }


def _options(job: Job) -> dict[str, Any]:
    """Return the options that differ from their defaults."""
    fields = {field.name: field.default for field in attrs.fields(type(job.options))}
    shown = ("start_timeout", "low_priority", "extra_attempts", "max_queue_length", "store_io", "hint")
    found = {name: getattr(job.options, name) for name in shown}
    changed = {name: value for name, value in found.items() if value != fields[name]}
    return {**changed, **({"tags": dict(job.options.tags)} if job.options.tags else {})}


def _result(answer: Answer) -> dict[str, Any]:
    types = [value for name, value in answer.headers.items() if name.lower() == "content-type"]
    kind = "".join(types[:1])
    found: dict[str, Any] = {"status": answer.status, "content_type": kind, "size": len(answer.body)}
    if len(answer.body) > _SHOWN:
        return found
    try:
        return {**found, "document": shortened(answer.document())}
    except ValueError:
        is_text = kind.startswith("text/")
        return {**found, "text": shortened(answer.body.decode(errors="replace"))} if is_text else found


def _webhook(core: Core, job: Job) -> dict[str, Any] | None:
    url = job.options.webhook_url
    attempts = [one for one in core.webhooks.attempts if one.request_id == job.request_id]
    if url is None and not attempts:
        return None
    return {
        "url": None if url is None else masked_url(url),
        "attempts": [brief_attempt(one) for one in attempts[-_ATTEMPTS:]],
    }


def brief_attempt(attempt: WebhookAttempt) -> dict[str, Any]:
    """Return the line of a table."""
    names = "request_id attempt at status error delivered"
    return {**{name: getattr(attempt, name) for name in names.split()}, "url": masked_url(attempt.url)}
