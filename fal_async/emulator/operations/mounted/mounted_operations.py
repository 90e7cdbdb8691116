"""The operations that a mounted application serves in place of an endpoint."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from fal_async.emulator.apps.mounts import Mount
from fal_async.emulator.core import Call, Core, Reply
from fal_async.emulator.faults.delivery import stall
from fal_async.emulator.jobs.job import COMPLETED, Job
from fal_async.emulator.jobs.options import BadOption, CallOptions, parse_options
from fal_async.emulator.operations import http_over_websocket
from fal_async.emulator.operations.mounted.mounted_call import MountedCall, ask_of
from fal_async.emulator.operations.mounted.mounted_websocket import MountedWebSocket
from fal_async.emulator.operations.realtime import admission
from fal_async.emulator.operations.realtime_tokens import refusal
from fal_async.emulator.operations.stream import AnswerBody, Sender, Sink, followed
from fal_async.emulator.operations.submit import outcome, queue_too_long, queued
from fal_async.emulator.wire.answers import Answer, bad_request
from fal_async.emulator.wire.routing import RUN_HOSTS


async def submit(core: Core, call: Call, mount: Mount) -> Reply:
    options = _options(call)
    if isinstance(options, Answer):
        return options
    if refused := queue_too_long(core, call, mount, options):
        return refused
    job = call.job = open_job(core, call, mount, options, input_of(call), via="queue")
    return queued(
        core,
        call,
        mount,
        job,
        MountedCall(core, call, mount, job, ask=ask_of(call, mount, job, call.body)).work,
    )


async def run(core: Core, call: Call, mount: Mount) -> Reply:
    return await _direct(core, call, mount, via="run")


async def stream(core: Core, call: Call, mount: Mount) -> Reply:
    """Do the same as `run` for a caller that wants events: tokens are accepted, faults apply within the stream."""
    if refused := refusal(core, call, public=mount.public):
        return refused
    await stall(call.effect)
    return await _direct(core, call, mount, via="stream")


async def _direct(core: Core, call: Call, mount: Mount, *, via: str) -> Reply:
    """Make a direct call. An answer of known length is sent in one piece, any other one in the application's."""
    options = _options(call)
    if isinstance(options, Answer):
        return options
    job = call.job = open_job(core, call, mount, options, input_of(call), via=via)
    sink = AnswerBody(call)
    answer = await through(core, call, mount, job, call.body, sink)
    return answer if sink.response is None else sink.response


async def through(core: Core, call: Call, mount: Mount, job: Job, body: bytes, sink: Sink) -> Answer:
    """Return the application's answer, without its body if that was sent to `sink`."""
    sender = Sender(call, job, sink)
    passage = MountedCall(core, call, mount, job, ask=ask_of(call, mount, job, body), sender=sender)
    return await followed(core, mount, job, sender, passage.work)


async def websocket(core: Core, call: Call, mount: Mount) -> Reply:
    return await http_over_websocket.serve(call, _MountedPayloads(core, call, mount))


@attrs.frozen
class _MountedPayloads:
    core: Core
    call: Call
    mount: Mount

    def open_job(self, options: CallOptions) -> Job:
        return open_job(self.core, self.call, self.mount, options, None, via="websocket")

    async def answer(self, payload: str | bytes, job: Job, sink: Sink) -> Answer:
        body = payload.encode() if isinstance(payload, str) else payload
        return await through(self.core, self.call, self.mount, job, body, sink)


async def realtime(core: Core, call: Call, mount: Mount) -> Reply:
    """Relay a WebSocket at any path. The handshake completes when a runner is free and the application accepts."""
    options = await admission(core, call, mount)
    if not isinstance(options, CallOptions):
        return options
    job = call.job = open_job(core, call, mount, options, None, via="realtime")
    relayed = MountedWebSocket(core, call, mount, job)
    runners = core.runners.of(mount, job.account)
    runners.enter(job, relayed.work)
    try:
        await job.wait_for(COMPLETED)
    except asyncio.CancelledError:
        if not relayed.over:
            runners.stop(job, "client_disconnected")
        raise
    return outcome(job) if relayed.connection is None else relayed.connection


def open_job(core: Core, call: Call, mount: Mount, options: CallOptions, input: Any, *, via: str) -> Job:
    """Add a job. Its endpoint id is the called one: that of the application, with the path below it."""
    return core.jobs.open(
        mount,
        call.route.endpoint_id or "",
        input,
        via=via,
        options=options,
        headers=call.headers,
        origin=call.origin,
        credential=call.credential,
        choice=call.choice,
    )


def input_of(call: Call) -> Any:
    """Return the input for the job, or None if the body is not JSON, which an application may accept."""
    if call.request.method == "GET":
        return dict(call.query)
    try:
        return json.loads(call.body) if call.body.strip() else {}
    except ValueError:
        return None


def _options(call: Call) -> CallOptions | Answer:
    try:
        return parse_options(call.headers, call.query)
    except BadOption as error:
        return bad_request(str(error))


_SERVICES: Mapping[str, Callable[[Core, Call, Mount], Awaitable[Reply]]] = {
    "submit": submit,
    "run": run,
    "stream": stream,
    "realtime": realtime,
    "websocket": websocket,
}


async def serve(core: Core, call: Call) -> Reply | None:
    """Return the reply, or None if no application serves this call."""
    # An application may accept more methods than the models of fal.run.
    is_direct = call.route.kind == "wrong_method" and call.route.host in RUN_HOSTS
    service = _SERVICES.get("run" if is_direct else call.route.kind)
    if service is None:
        return None
    mount = core.endpoints.mounted(call.route.rest, call.route.endpoint_id)
    return None if mount is None else await service(core, call, mount)
