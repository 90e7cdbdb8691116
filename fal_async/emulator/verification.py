"""What `Emulator.verify` checks at the end of a test: what the test expected has happened, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import attrs

from fal_async.emulator.core import Core, Miss, ScopeParts
from fal_async.emulator.event_loop import running_loop
from fal_async.emulator.faults.fault import Fault
from fal_async.emulator.faults.script import FaultScript
from fal_async.emulator.jobs.books import Books
from fal_async.emulator.jobs.job import COMPLETED, Job
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.wire.recorder import RecordedRequest, Recorder

_ENDING_LIMIT = 1.0
"""Seconds for which running requests may still end, because a client that left is noticed a little later."""
_LONGEST = 5
"""How many requests of one kind are named."""


@attrs.frozen(kw_only=True)
class Evidence:
    """What the checks look at: everything that an emulator has seen, or what belongs to one scope of it."""

    core: Core
    faults: FaultScript
    recorder: Recorder
    books: Books
    jobs: Mapping[str, Job]
    misses: Sequence[str]
    """One line for each call that was refused because it has no recording."""

    @classmethod
    def of(cls, core: Core, scope: ScopeParts | None = None) -> Evidence:
        if scope is not None:
            return cls(
                core=core,
                faults=scope.faults,
                recorder=scope.recorder,
                books=scope.books,
                jobs=core.jobs.of(scope.account),
                misses=[miss.text for miss in _misses(core) if miss.account is scope.account],
            )
        return cls(
            core=core,
            faults=core.faults,
            recorder=core.recorder,
            books=core.jobs.books,
            jobs=core.jobs.of(None),
            misses=[miss.text for miss in _misses(core)],
        )


def _misses(core: Core) -> Sequence[Miss]:
    return () if core.recordings is None else core.recordings.misses


@attrs.frozen(kw_only=True)
class Checkpoint:
    """What an emulator has seen up to a moment, as `Emulator.checkpoint` returns it.

    Attributes:
        endpoints: the endpoints and applications that are served.
        faults: the faults that were not used up.
        jobs: ids of the accepted requests.
        requests: how many HTTP requests have arrived.
        misses: how many calls were refused because they have no recording.
        accepted: how many requests were accepted, by endpoint and digest of the input.
    """

    endpoints: frozenset[Served] = attrs.field(repr=False)
    faults: tuple[Fault, ...] = ()
    jobs: frozenset[str] = attrs.field(default=frozenset(), repr=False)
    requests: int = 0
    misses: int = 0
    accepted: dict[tuple[str, str], int] = attrs.field(factory=dict, repr=False)

    def created(self) -> Checkpoint:
        """Return the checkpoint of an emulator with these endpoints, to which nothing has happened yet."""
        return Checkpoint(endpoints=self.endpoints)

    @classmethod
    def of(cls, seen: Evidence) -> Checkpoint:
        """Return the present state.

        Args:
            seen: what has happened so far.
        """
        return cls(
            endpoints=frozenset(seen.core.endpoints),
            faults=tuple(seen.faults),
            jobs=frozenset(seen.jobs),
            requests=seen.recorder.count(),
            misses=len(seen.misses),
            accepted={(line.endpoint_id, line.input_digest): line.taken for line in seen.books},
        )


NOTHING = Checkpoint(endpoints=frozenset())
"""The checkpoint of a scope that was opened just now."""


@attrs.frozen(kw_only=True)
class Verification:
    """The checks that are made, each with the argument of `Emulator.verify` that switches it off."""

    faults: bool = True
    endpoints: bool = True
    unexpected: bool = True
    running: bool = True
    repeats: bool = True

    def problems(self, seen: Evidence, since: Checkpoint, *, named: bool = True) -> list[str]:
        """Return one line for each problem, if `named` with the argument that switches its check off."""
        checks = {
            "faults": _unused_faults,
            "endpoints": _uncalled_endpoints,
            "unexpected": _unexpected_requests,
            "running": _running_jobs,
            "repeats": _repeated_inputs,
        }
        made = attrs.asdict(self)
        return [
            f"{problem} [{name}=False allows it]" if named else problem
            for name, check in checks.items()
            if made[name]
            for problem in _shortened(list(check(seen, since)))
        ]


def _shortened(problems: list[str]) -> list[str]:
    more = len(problems) - _LONGEST
    return problems if more <= 0 else [*problems[:_LONGEST], f"... and {more} more like this"]


def _unused_faults(seen: Evidence, since: Checkpoint) -> Iterator[str]:
    for fault in seen.faults.never_applied():
        if fault not in since.faults and fault.chance == 1:
            calls = "call" if fault.on == "any" else f"call of {fault.on!r}"
            of = "" if fault.endpoint_id is None else f" of {fault.endpoint_id}"
            late = f" after {fault.after} others" if fault.after else ""
            yield f"the fault {fault.kind!r} has never applied: there was no {calls}{of}{late}"


def _uncalled_endpoints(seen: Evidence, since: Checkpoint) -> Iterator[str]:
    called = {job.served for job in seen.jobs.values()}
    for served in seen.core.endpoints:
        if (
            served not in since.endpoints
            and served not in called
            and not seen.books.total(served.endpoint_id)
        ):
            yield f"the endpoint {served.endpoint_id} was never called"


def _unexpected_requests(seen: Evidence, since: Checkpoint) -> Iterator[str]:
    yield from seen.misses[since.misses :]
    requests = seen.recorder.requests()
    # Fewer may be stored than have arrived. After `clear_requests`, all of them are new.
    before = len(requests) - (seen.recorder.count() - since.requests)
    for request in requests[before if 0 <= before <= len(requests) else 0 :]:
        if (reason := _reason(seen, request)) is not None:
            yield f"{request.method} {_shown(request)} was answered with {request.status}: {reason}"


def _reason(seen: Evidence, request: RecordedRequest) -> str | None:
    """Return why a working program would not send a request; None if it might, or if the request got a fault."""
    if request.fault is not None:
        return None
    if request.status == 401:
        return "the API key is missing or unknown; the emulator's own is emulator.key"
    if request.kind == "unknown":
        return "fal has no such host or path"
    if request.kind == "wrong_method":
        return "fal does not accept this method here"
    if request.status == 404 and request.endpoint_id is not None:
        is_known = request.request_id in seen.jobs
        is_served = seen.core.endpoints.serving(request.endpoint_id) or _is_app(
            seen.core, request.endpoint_id
        )
        if not is_known and not is_served:
            return f"no endpoint {request.endpoint_id} is registered"
        if request.request_id is not None and not is_known:
            return f"there is no request {request.request_id}"
    return None


def _is_app(core: Core, app_id: str) -> bool:
    """Return whether an id is that of an application of which only paths are registered, as in a status URL."""
    return any(served.app_id == app_id for served in core.endpoints)


def _shown(request: RecordedRequest) -> str:
    return request.path if len(request.path) <= 100 else request.path[:100] + "..."


def _running_jobs(seen: Evidence, since: Checkpoint) -> Iterator[str]:
    jobs = [job for key, job in seen.jobs.items() if key not in since.jobs and not job.forgotten]
    _wait_for_ends(seen.core, jobs)
    for job in jobs:
        if job.state != COMPLETED:
            way_out = "wait for its result, or cancel it"
            yield f"request {job.request_id} of {job.endpoint_id} is {job.state}: {way_out}"


def _wait_for_ends(core: Core, jobs: list[Job]) -> None:
    # Waiting in the emulator's own loop would keep the jobs from ending.
    if (here := running_loop()) is not None and here is core.loop.loop:
        return
    until = time.monotonic() + _ENDING_LIMIT
    while any(job.state != COMPLETED for job in jobs) and time.monotonic() < until:
        time.sleep(0.005)


def _repeated_inputs(seen: Evidence, since: Checkpoint) -> Iterator[str]:
    for line in seen.books.repeated():
        before = since.accepted.get((line.endpoint_id, line.input_digest), 0)
        new = line.request_ids[before:]
        if len(new) > 1:
            ids = ", ".join(new[:3]) + (", ..." if len(new) > 3 else "")
            yield f"{line.endpoint_id} accepted the same input {len(new)} times, and fal bills each: requests {ids}"
