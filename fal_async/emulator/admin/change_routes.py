"""`/_emulator/overview` and `changes`: what the emulator does now, and an event stream of its changes.

The stream looks for changes only while it is open, so that the emulator does nothing for a page that is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from aiohttp import web

from fal_async.emulator.admin.masks import shortened, summary
from fal_async.emulator.admin.order import Order, Routes
from fal_async.emulator.admin.page_routes import DATA_HEADERS
from fal_async.emulator.core import Core
from fal_async.emulator.jobs.job import IN_QUEUE, Job
from fal_async.emulator.jobs.runners import Runners
from fal_async.emulator.jobs.served import NO_LIMIT
from fal_async.emulator.wire.answers import json_answer
from fal_async.emulator.wire.sse import EVENTS

_PAUSE, _AFTER_LOG = 0.25, 0.05
"""Seconds between two looks, and until a change of the watched job is sent."""
_QUEUES, _RUNNING, _WAITING, _FAULTS = 40, 12, 12, 50
"""How many queues are sent, with how many of their running and waiting jobs, and how many faults."""
_RETRY = b"retry: 1000\n\n"


def overview(core: Core, watched: str | None = None) -> dict[str, Any]:
    """Return the state of the queues, faults and accounts, and numbers that grow with each other change."""
    jobs = core.jobs
    queues = [_queue(runners, scope) for runners, scope in core.runners]
    queues.sort(key=lambda queue: (-bool(queue["running"]) - bool(queue["waiting"]), queue["endpoint_id"]))
    waiting, running = (sum(queue[name] for queue in queues) for name in ("waiting", "busy"))
    job = jobs.by_id.get(watched or "")
    return {
        "jobs": {"accepted": jobs.accepted, "kept": len(jobs.by_id), "queued": waiting, "running": running}
        | {"ended": jobs.ended_count, "failed": jobs.failed_count},
        "queues": queues[:_QUEUES],
        "scopes": list(core.scopes),
        "used": sorted({queue["endpoint_id"] for queue in queues}),
        "http": core.recorder.count(),
        "records": core.recorder.keeps,
        "webhooks": {"ended": core.webhooks.ended, "under_way": core.webhooks.under_way},
        "webhooks_automatic": core.webhooks.automatic,
        "faults": core.faults.state()[:_FAULTS],
        "struck": core.faults.struck,
        "files": len(core.files.records),
        "uploads": len(core.uploads.uploads),
        "endpoints": len(created := [served.created_at for served in core.endpoints]),
        "endpoints_changed": max(created, default=0),
        "accounts": [
            {name: getattr(account, name) for name in ("nickname", "balance", "running", "locked")}
            for account in core.keyring.accounts.values()
        ],
        "clock": {
            "kind": core.clock.kind,
            "virtual": None if core.clock.kind == "real" else core.clock.now(),
        },
        "watched": None if job is None else [job.state, job.attempts, len(job.logs), job.cancel_requests],
    }


def _queue(runners: Runners, scope: str | None) -> dict[str, Any]:
    running = runners.running
    return {
        "endpoint_id": runners.endpoint.endpoint_id,
        "scope": scope,
        "runners": None if runners.endpoint.runners == NO_LIMIT else runners.endpoint.runners,
        "busy": len(running),
        "running": [_running(job) for job in running[:_RUNNING]],
        "waiting": runners.unfinished - len(running),
        "next": [_waiting(job) for job in runners.first_waiting(_WAITING)],
    }


def _running(job: Job) -> dict[str, Any]:
    log = shortened(str(job.logs[-1]["message"]), 160) if job.logs else None
    position = job.held_at if job.state == IN_QUEUE else None  # a recording lets it wait
    started = {"started_at": job.started_at, "attempts": job.attempts, "position": position}
    return {**_waiting(job), **started, "log": log}


def _waiting(job: Job) -> dict[str, Any]:
    return {"request_id": job.request_id, "summary": summary(job.input), "submitted_at": job.submitted_at}


async def _changes(order: Order) -> web.StreamResponse:
    """Send an overview at once and after each change; the query's `job` names a job whose logs are watched."""
    core, watched = order.core, order.call.query.get("job")
    response = web.StreamResponse(headers={**DATA_HEADERS, "Content-Type": EVENTS})
    await response.prepare(order.call.request)
    await response.write(_RETRY)
    job, changed = core.jobs.by_id.get(watched or ""), asyncio.Event()
    if job is not None:
        job.watch(changed)
    try:
        with contextlib.suppress(ConnectionError):  # the page was closed
            await _send_changes(core, response, watched, changed)
    finally:
        if job is not None:
            job.unwatch(changed)
    return response


async def _send_changes(
    core: Core, response: web.StreamResponse, watched: str | None, changed: asyncio.Event
) -> None:
    last, sent_at = None, 0.0
    while True:
        changed.clear()
        now = overview(core, watched)
        if now != last:
            last, sent_at = now, time.monotonic()
            text = json_answer({**now, "now": core.clock.now()}).body
            await response.write(b"data: " + text + b"\n\n")
        elif time.monotonic() - sent_at > core.keep_alive:
            sent_at = time.monotonic()
            await response.write(b": keep-alive\n\n")
        await asyncio.sleep(_AFTER_LOG)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE):
                await changed.wait()


def _overview(order: Order) -> dict[str, Any]:
    return {**overview(order.core, order.call.query.get("job")), "now": order.core.clock.now()}


ROUTES: Routes = {("GET", "overview"): _overview, ("GET", "changes"): _changes}
