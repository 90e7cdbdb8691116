"""How requests that had not ended when a state was saved begin anew."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from functools import partial
from typing import Any

import attrs

from fal_async.emulator.apps.mounts import Mount
from fal_async.emulator.core import Core, Performance
from fal_async.emulator.jobs.endpoints import Endpoint
from fal_async.emulator.jobs.job import COMPLETED, Job, JobContext, Work
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.operations.mounted.mounted_call import MountedCall, ask_again
from fal_async.emulator.recordings.call_recorder import answer_lost
from fal_async.emulator.recordings.performance import endpoint_of_recordings
from fal_async.emulator.recordings.replay import Replay
from fal_async.emulator.wire.answers import CANCELLED, ModelError, request_error


def begin_anew(core: Core, places: Mapping[str, int], at_fal: Set[str]) -> None:
    """Queue the requests that have not ended, in the order of their places.

    Direct calls end without their callers, and steps without their workflow, which submits them anew.
    Requests that a recording was answering begin anew in it, if there is one to replay.
    The requests of an endpoint that is not registered wait in a queue without runners until it is.

    Args:
        core: the parts of the emulator.
        places: the place of each request in the queues, by id.
        at_fal: the ids of those that fal itself was answering. They fail, since fal may bill them a second time.
    """
    absent: dict[str, Served] = {}
    unfinished = [job for job in core.jobs if job.state != COMPLETED]
    for job in sorted(unfinished, key=lambda job: places[job.request_id]):
        name = job.served.endpoint_id
        if job.via != "queue" or job.workflow_request_id is not None:
            _end(core, job)
        elif job.request_id in at_fal:
            _begin(core, job, endpoint_of_recordings(name), _lost)
        elif (performance := _recorded(core, job)) is not None:
            if performance.position is not None:
                job.hold(performance.position)
            _begin(core, job, performance.served, performance.perform)
        elif (served := core.endpoints.serving(name)) is not None:
            _enter(core, job, served)
        else:
            job.served = absent.setdefault(name, attrs.evolve(job.served, runners=0))
            core.unserved[name] = partial(_take_over, core, job.served)
            core.runners.of(job.served, job.account).enter(job, _never)


def _end(core: Core, job: Job) -> None:
    job.billable_units = 0
    job.complete(request_error(CANCELLED, "Request was cancelled", "client_disconnected"), core.clock.now())
    core.jobs.ended(job)


def _recorded(core: Core, job: Job) -> Performance | None:
    """Return what performs a job that a recording was answering; None if it is left to endpoints."""
    recording, job.recording = job.recording, None
    if recording is None or not isinstance(core.recordings, Replay):
        return None
    performance = core.recordings.again(core, recording)
    job.recording = None if performance is None else performance.recording
    return performance


def _enter(core: Core, job: Job, served: Served) -> None:
    _begin(core, job, served, _work(core, job, served))


def _begin(core: Core, job: Job, served: Served, work: Work) -> None:
    job.served = served
    core.runners.of(served, job.account).enter(job, work)


def _take_over(core: Core, absent: Served, served: Served) -> None:
    for job in core.runners.of(absent, core.keyring.main).release():
        _enter(core, job, served)


async def _never(_: Any, __: JobContext) -> None:
    raise RuntimeError("a queue without runners has started a request")


def _work(core: Core, job: Job, served: Served) -> Work:
    """Return the work of a queued request."""
    if isinstance(served, Endpoint):
        return served.call
    if not isinstance(served, Mount) or job.input is None:
        return _unknown_body
    ask = ask_again(job, json.dumps(job.input).encode())
    return MountedCall(core, None, served, job, ask=ask).work


async def _lost(_: Any, __: JobContext) -> None:
    raise answer_lost("fal was answering it when the state was saved")


async def _unknown_body(_: Any, __: JobContext) -> None:
    raise ModelError(500, "The body of the request was not JSON, so the saved state does not have it")
