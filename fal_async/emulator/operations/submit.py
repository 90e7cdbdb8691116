"""Accepts requests: `POST queue.fal.run/{id}` and `POST fal.run/{id}` (protocol 3, 4.1)."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from functools import lru_cache
from typing import Any

import attrs

from fal_async.emulator.core import Call, Core, Performance
from fal_async.emulator.jobs.endpoints import Endpoint
from fal_async.emulator.jobs.job import COMPLETED, Job, Work, input_of
from fal_async.emulator.jobs.options import BadOption, CallOptions, parse_options
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.wire.answers import Answer, bad_json, bad_request, json_answer, request_error


async def submit(core: Core, call: Call) -> Answer:
    accepting = _accepted(core, call)
    return await (accepting if core.recordings is None else core.recordings.shelter(accepting))


async def _accepted(core: Core, call: Call) -> Answer:
    taker, options, input = await _read(core, call, "queue")
    if isinstance(taker, Answer):
        return taker
    if not isinstance(taker, Endpoint):
        call.job = open_performance(core, call, taker, options, input, via="queue")
        return queued(core, call, taker.served, call.job, taker.perform)
    if refused := queue_too_long(core, call, taker, options):
        return refused
    call.job = open_job(core, call, taker, options, input, via="queue")
    return queued(core, call, taker, call.job, taker.call)


def queue_too_long(core: Core, call: Call, served: Served, options: CallOptions) -> Answer | None:
    """Return 429 if more requests wait for the endpoint, those of all callers, than the caller allows (4.1)."""
    limit = options.max_queue_length
    if limit is None or core.runners.of(served, call.account).waiting <= limit:
        return None
    return request_error(429, f"Queue is longer than {limit}")


def queued(core: Core, call: Call, served: Served, job: Job, work: Work) -> Answer:
    position = core.runners.of(served, job.account).enter(job, work)
    document = {
        "status": "IN_QUEUE",
        "request_id": job.request_id,
        **job_urls(call, served),
        "queue_position": position,
        "gateway_request_id": job.request_id,
    }
    return json_answer(document, 200, {"x-fal-request-id": job.request_id})


async def run(core: Core, call: Call) -> Answer:
    """Run a request ahead of the queue; it is stopped when the caller disconnects (protocol 3.3, 13)."""
    taker, options, input = await _read(core, call, "run")
    if isinstance(taker, Answer):
        return taker
    if not isinstance(taker, Endpoint):
        return await run_performance(core, call, taker, options, input)
    call.job = open_job(core, call, taker, options, input, via="run")
    return await performed(core, taker, call.job, taker.call)


async def run_performance(
    core: Core, call: Call, performance: Performance, options: CallOptions, input: Any
) -> Answer:
    """Answer a direct call as a recording says."""
    call.job = open_performance(core, call, performance, options, input, via="run")
    return await performed(core, performance.served, call.job, performance.perform)


async def performed(core: Core, served: Served, job: Job, work: Work) -> Answer:
    """Run a job while its caller stays connected, and return its outcome."""
    runners = core.runners.of(served, job.account)
    runners.enter(job, work)
    try:
        await job.wait_for(COMPLETED)
    except asyncio.CancelledError:
        runners.stop(job, "client_disconnected")
        raise
    return outcome(job)


def outcome(job: Job) -> Answer:
    """Return the model's status, headers and body, with fal's headers (protocol 3.2, 4.4)."""
    if job.answer is None:
        raise RuntimeError(f"request {job.request_id} has no outcome yet")
    headers = {"x-fal-request-id": job.request_id, "x-fal-billable-units": _decimal(job.billable_units or 0)}
    if job.attempts:
        headers["X-Fal-Served-From"] = runner_of(job)
    if job.options.hint is not None:
        headers["X-Fal-Runner-Hints"] = job.options.hint
    return job.answer.with_headers(headers)


@lru_cache(256)
def _decimal(units: float) -> str:
    """Return the units with all their digits and without an exponent."""
    return f"{Decimal(str(units)).normalize():f}"


def runner_of(job: Job) -> str:
    """Return the value of `X-Fal-Served-From`, the id of the runner that answered (protocol 3.2)."""
    return f"runner-{job.served.endpoint_id.replace('/', '-')}"


def job_urls(call: Call, served: Served) -> dict[str, str]:
    """Return the URLs of a request, without the sub-path, and always of the primary host (1.1, 2)."""
    request_id = call.request_id
    base = f"{call.origin}/queue.fal.run/{served.app_id}/requests/{request_id}"
    return {"response_url": base, "status_url": f"{base}/status", "cancel_url": f"{base}/cancel"}


async def _read(core: Core, call: Call, via: str) -> tuple[Endpoint | Performance | Answer, CallOptions, Any]:
    """Return what takes the request, with options and input. It is an answer if the request is refused."""
    found, options, input = await recorded(core, call, via)
    if found is not None:
        return found, options, input
    endpoint_id = call.route.endpoint_id or ""
    endpoint = core.endpoints.find(endpoint_id)
    if endpoint is None:
        return core.endpoints.missing(endpoint_id), CallOptions(), None
    taken = options_and_input(call)
    return (taken, CallOptions(), None) if isinstance(taken, Answer) else (endpoint, *taken)


async def recorded(core: Core, call: Call, via: str) -> tuple[Performance | Answer | None, CallOptions, Any]:
    """Return what the recordings have for a call, with options and input; None if they leave it to endpoints."""
    if core.recordings is None or isinstance(read := options_and_input(call), Answer):
        return None, CallOptions(), None
    return await core.recordings.find(core, call, via, read[1]), *read


def options_and_input(call: Call) -> tuple[CallOptions, Any] | Answer:
    """Return options and input, or the 400 or 422 of a request in which they cannot be read."""
    try:
        options = parse_options(call.headers, call.query)
    except BadOption as error:
        return bad_request(str(error))
    try:
        return options, _input(call)
    except ValueError as error:
        return bad_json(error)


def _input(call: Call) -> Any:
    """Return the input: the body, or of a GET the query without the token (protocol 3, 1.2)."""
    if call.request.method != "GET":
        return input_of(call.body)
    return {name: text for name, text in call.query.items() if name != "fal_jwt_token"}


def open_performance(
    core: Core, call: Call, performance: Performance, options: CallOptions, input: Any, *, via: str
) -> Job:
    """Add a new job that a recording performs; it is not retried, since the recording has the last attempt."""
    options = attrs.evolve(options, extra_attempts=0)
    request_id = performance.request_id
    job = open_job(core, call, performance.served, options, input, via=via, request_id=request_id)
    job.recording = performance.recording
    if via == "queue" and performance.position is not None:
        job.hold(performance.position)
    return job


def open_job(
    core: Core,
    call: Call,
    endpoint: Endpoint,
    options: CallOptions,
    input: Any,
    *,
    via: str,
    request_id: str | None = None,
) -> Job:
    """Add a new job. `via`: "queue", or the kind of direct call. `request_id`: that of a recording."""
    return core.jobs.open(
        endpoint,
        endpoint.endpoint_id,
        input,
        via=via,
        request_id=request_id,
        options=options,
        headers=call.headers,
        origin=call.origin,
        credential=call.credential,
        choice=call.choice,
    )
