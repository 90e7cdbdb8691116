"""The cells of the fault matrix: a fault, an operation, and the outcome of the call."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs

from fal_async import FalError, RetryPolicy, Session, Timeouts
from fal_async.emulator import Emulator, Fault, JobContext

MODEL, SLOW = "fal-ai/any-llm", "me/slow"
ASK = {"prompt": "x"}
OPERATIONS = ("run", "submit", "status", "status_stream", "result", "cancel")
READS = ("status", "status_stream", "result", "cancel")
FOLLOWED = ("status", "status_stream")
JSON_READS = ("submit", "status", "result")
LIMIT = 20.0
"""Seconds after which a call counts as hanging."""
TIMEOUTS = Timeouts(connect=0.5, first_byte=0.25, total=0.5, run=0.5, stream=0.25)
PASSING = RetryPolicy(base_delay=0.005, max_delay=0.05, max_attempts=6, max_total=5, result_total=5, outage=5)
LASTING = attrs.evolve(PASSING, max_attempts=4, max_total=0.3, result_total=0.3, outage=0.3)
ELSEWHERE = "https://elsewhere.example"

Make = Callable[[str], Fault]
"""Makes the fault for one operation."""


@attrs.frozen
class Case:
    """One row of the matrix.

    Attributes:
        name: the name of the row.
        make: makes the fault; None if the server itself goes away.
        on: the operations that it can strike.
        away: how the server goes away.
        endless: whether the request is never reported as complete while the fault lasts, so that only `timeout=`
            ends the wait.
    """

    name: str
    make: Make | None = None
    on: tuple[str, ...] = OPERATIONS
    away: str | None = None
    endless: bool = False


@attrs.frozen(kw_only=True)
class Outcome:
    """How one operation ended under one fault.

    Attributes:
        requests: HTTP requests of its kind that were sent.
        jobs: jobs that the server made.
        known: ids of all jobs of the server.
    """

    case: str
    operation: str
    lasting: bool
    ending: str
    error: BaseException | None = attrs.field(default=None, repr=False)
    seconds: float
    requests: int
    jobs: int
    known: frozenset[str] = attrs.field(default=frozenset(), repr=False)


def _answer(status: int, **how: Any) -> Make:
    return lambda on: Fault.answer(status, on=on, **how)


def _simple(make: Callable[..., Fault], *args: Any, **how: Any) -> Make:
    return lambda on: make(*args, on=on, **how)


def _without_its_main_field(on: str) -> Fault:
    return Fault.missing("request_id" if on == "submit" else "status", on=on)


USER_LIMIT = {"X-Fal-Request-Timeout-Type": "user"}
CASES = (
    Case("nobody listens", away="refused"),
    Case("restart, memory kept", away="restart"),
    Case("restart, memory lost", away="memory lost"),
    Case("reset before it was taken", _simple(Fault.reset)),
    Case("reset after it was taken", _simple(Fault.reset, taken=True)),
    Case("closed before it was taken", _simple(Fault.close)),
    Case("closed after it was taken", _simple(Fault.close, taken=True)),
    Case("taken, never answered", _simple(Fault.stall, 5.0)),
    Case("not taken, never answered", _simple(Fault.stall, 5.0, taken=False)),
    Case("headers, then silence", _simple(Fault.stall, 5.0, where="body")),
    Case("one byte at a time", _simple(Fault.drip, 0.05)),
    Case("cut in the body", _simple(Fault.truncate)),
    Case("cut JSON", _simple(Fault.wrong_json), ("run", *JSON_READS)),
    Case("HTML with 200", _simple(Fault.html, 200, taken=True)),
    Case("wrong content type", _simple(Fault.content_type, "text/plain"), (*JSON_READS, "status_stream")),
    Case("main field missing", _without_its_main_field, ("submit", "status", "status_stream")),
    Case("unknown status word", _simple(Fault.word, "THINKING"), FOLLOWED, endless=True),
    Case("a status that goes back", _simple(Fault.back, 3), FOLLOWED, endless=True),
    Case("everything twice", _simple(Fault.duplicate), FOLLOWED),
    Case("URLs on another host", _simple(Fault.foreign_urls, ELSEWHERE), ("submit", *FOLLOWED)),
    Case("redirect to another host", _simple(Fault.redirect, ELSEWHERE)),
    Case("401 (key rotated)", _answer(401)),
    Case("403 (balance)", _simple(Fault.balance)),
    Case("404 (id gone)", _simple(Fault.vanish), READS),
    Case("404, a gateway's page", _simple(Fault.html, 404)),
    Case("408", _answer(408)),
    Case("409", _answer(409)),
    Case("422", _answer(422)),
    Case("429", _answer(429)),
    Case("429, Retry-After", _answer(429, retry_after=0.02)),
    Case("500", _answer(500)),
    Case("500, a gateway's page", _answer(500, fal_headers=False)),
    Case("502", _answer(502)),
    Case("502, a gateway's page", _answer(502, fal_headers=False)),
    Case("503", _answer(503)),
    Case("503, a gateway's page", _answer(503, fal_headers=False)),
    Case("504", _answer(504)),
    Case("504, a gateway's page", _answer(504, fal_headers=False)),
    Case("504 (start timeout)", _answer(504, headers=USER_LIMIT)),
)


async def play(
    case: Case, operation: str, *, lasting: bool = False, timeouts: Timeouts = TIMEOUTS
) -> Outcome:
    """Make one call, with the fault on the first two requests of its kind, or on all (`lasting`)."""
    noted = asyncio.Event()
    policy = attrs.evolve(LASTING if lasting else PASSING, on_retry=lambda _: noted.set())
    async with _server() as emulator, Session(emulator.key, hosts=emulator.hosts, retry=policy) as session:
        fal = session.with_options(timeout=timeouts)
        handle = await fal.queue.submit(SLOW, {"seconds": 60}) if operation == "cancel" else None
        before, jobs = emulator.count(operation), len(emulator.jobs)
        call = handle.cancel() if handle is not None else _call(fal, operation, case.endless and lasting)
        async with _struck(emulator, case, operation, lasting, noted):
            began = time.perf_counter()
            ending, error = await _ending(call)
            seconds = time.perf_counter() - began
        return Outcome(
            case=case.name,
            operation=operation,
            lasting=lasting,
            ending=ending,
            error=error,
            seconds=seconds,
            requests=emulator.count(operation) - before,
            jobs=len(emulator.jobs) - jobs,
            known=frozenset(emulator.jobs),
        )


@contextlib.asynccontextmanager
async def _server() -> AsyncIterator[Emulator]:
    emulator = Emulator(speed=50)

    @emulator.endpoint(SLOW)
    async def slow(input: Any, job: JobContext) -> Any:
        await asyncio.sleep(input["seconds"])
        return {"request_id": job.request_id}

    async with emulator:
        yield emulator


def _call(fal: Session, operation: str, endless: bool) -> Any:
    if operation == "run":
        return fal.run(MODEL, ASK)
    if operation == "submit":
        return fal.queue.submit(MODEL, ASK)
    timeout = 1.0 if endless else None
    mode: Any = "streaming" if operation == "status_stream" else "polling"
    return fal.subscribe(SLOW, {"seconds": 0.05}, mode=mode, poll_interval=0.01, timeout=timeout)


@contextlib.asynccontextmanager
async def _struck(
    emulator: Emulator, case: Case, operation: str, lasting: bool, noted: asyncio.Event
) -> AsyncIterator[None]:
    """Add the fault. If the server itself goes away, it does so while the call runs."""
    if case.make is not None:
        fault = Fault.from_json({**case.make(operation).to_json(), "times": None if lasting else 2})
        emulator.faults.add(fault)
        if operation == "status_stream" and lasting:
            emulator.faults.add(Fault.from_json({**fault.to_json(), "on": "status"}))
        yield
        return
    at_once = case.away == "refused" and operation in ("run", "submit", "cancel")
    if at_once:
        await emulator.pause()
    else:
        # It goes away while it works on such a request, whose answer is late.
        emulator.faults.add(Fault.stall(0.1, on=operation))
    acting = asyncio.create_task(_go_away(emulator, case.away or "", operation, lasting, at_once, noted))
    yield
    if lasting:
        acting.cancel()
    await asyncio.wait([acting])


async def _go_away(
    emulator: Emulator, how: str, operation: str, lasting: bool, at_once: bool, noted: asyncio.Event
) -> None:
    if not at_once:
        await emulator.wait_for(operation)
    if how != "refused":
        await emulator.restart(keep_memory=how == "restart")
        return
    if not at_once:
        await emulator.pause()
    if lasting:
        await asyncio.Event().wait()
    await (noted.wait() if at_once else asyncio.sleep(0.05))
    await emulator.resume()


async def _ending(call: Any) -> tuple[str, BaseException | None]:
    try:
        async with asyncio.timeout(LIMIT):
            answer = await call
    except FalError as error:
        return type(error).__name__, error
    except Exception as error:  # the matrix shows an error that is not a FalError
        hangs = isinstance(error, TimeoutError)
        return ("HANGS" if hangs else f"BARE {type(error).__name__}"), error
    return (answer.name if hasattr(answer, "name") else type(answer).__name__), None


def broken_rules(outcome: Outcome) -> list[str]:
    """Return which rules the cell breaks; every cell must keep all of them."""
    broken = []
    if outcome.jobs > (0 if outcome.operation == "cancel" else 1):
        broken.append(f"{outcome.jobs} jobs")
    if outcome.error is not None and not isinstance(outcome.error, FalError):
        broken.append(outcome.ending)
    if outcome.operation in READS and isinstance(outcome.error, FalError):
        request_id, endpoint_id = outcome.error.request_id, outcome.error.endpoint_id
        if request_id not in outcome.known or endpoint_id != SLOW:
            broken.append(f"the error names request {request_id}, endpoint {endpoint_id}")
    return broken
