"""Closing a session ends its calls: each request is cancelled once, and each caller gets an error.

After every test, the fixtures in `conftest.py` check that no task, socket or generator is left.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from fal_async import (
    CancelOutcome,
    FalError,
    QueueStatus,
    Session,
    SessionStateError,
    SubmissionUncertainError,
)
from fal_async.emulator import Emulator, Fault
from tests.emulator.gate import Gate
from tests.quick import ASK, GATE, LLM, gate_at, session_on


@pytest.fixture
def gate(emulator: Emulator) -> Gate:
    return gate_at(emulator)


Wait = Callable[[Session], Awaitable[Any]]


async def handle_wait(fal: Session) -> Any:
    return await (await fal.queue.submit(GATE)).wait(mode="streaming")


async def by_webhook(fal: Session) -> Any:
    fal.webhooks.attach("http://127.0.0.1:9/")
    return await fal.subscribe(GATE, mode="webhook", poll_interval=0.05)


async def in_a_callback(fal: Session) -> Any:
    async def slow(_: QueueStatus) -> None:
        await asyncio.sleep(60)

    return await fal.subscribe(GATE, on_queue_update=slow)


WAITS: dict[str, Wait] = {
    "polling": lambda fal: fal.subscribe(GATE),
    "streaming": lambda fal: fal.subscribe(GATE, mode="streaming"),
    "auto": lambda fal: fal.subscribe(GATE, mode="auto", timeout=60),
    "webhook": by_webhook,
    "handle.wait": handle_wait,
    "callback": in_a_callback,
    "view": lambda fal: fal.with_options(tags={"a": "b"}).subscribe(GATE),
}


def jobs_and_cancels(emulator: Emulator) -> tuple[int, int]:
    """Return how many jobs were made, and how many cancels were sent."""
    return len(emulator.jobs), emulator.count("cancel")


async def it_is_followed(emulator: Emulator) -> None:
    while not emulator.count("status") and not emulator.count("status_stream"):
        await asyncio.sleep(0.005)


async def closed_error(waiting: asyncio.Future[Any]) -> SessionStateError:
    with pytest.raises(SessionStateError, match="the session was closed") as caught:
        await waiting
    return caught.value


# Calls that follow a request.


@pytest.mark.parametrize("name", WAITS)
async def test_closing_the_session_cancels_a_followed_request_and_raises_in_its_caller(
    emulator: Emulator, gate: Gate, name: str
) -> None:
    async with session_on(emulator) as fal:
        waiting = asyncio.ensure_future(WAITS[name](fal))
        await it_is_followed(emulator)
    error = await closed_error(waiting)
    (job,) = emulator.jobs.values()
    assert jobs_and_cancels(emulator) == (1, 1)
    assert job.error_type == "client_cancelled"
    assert (error.request_id, error.endpoint_id) == (job.request_id, GATE)
    assert error.cancel_outcome is CancelOutcome.CANCELLATION_REQUESTED
    assert "fal was asked to cancel the request" in str(error)


async def test_closing_the_session_cancels_many_requests_concurrently(emulator: Emulator, gate: Gate) -> None:
    emulator.faults.add(Fault.stall(0.5, on="cancel", times=None))
    async with session_on(emulator) as fal:
        waiting = [asyncio.ensure_future(fal.subscribe(GATE)) for _ in range(20)]
        await emulator.wait_for("submit", 20)
    # One after the other, most would not be cancelled within the limit.
    errors = [await closed_error(task) for task in waiting]
    assert {error.cancel_outcome for error in errors} <= {
        CancelOutcome.CANCELLED,
        CancelOutcome.CANCELLATION_REQUESTED,
    }
    assert jobs_and_cancels(emulator) == (20, 20)


async def test_closing_the_session_cancels_a_shared_request_once(emulator: Emulator, gate: Gate) -> None:
    async with session_on(emulator) as fal:
        handle = await fal.queue.submit(GATE)
        same = fal.queue.handle(GATE, handle.request_id)
        waiting = [asyncio.ensure_future(which.wait()) for which in (handle, handle, same)]
        await emulator.wait_for("status", 3)
    errors = [await closed_error(task) for task in waiting]
    assert {error.cancel_outcome for error in errors} == {CancelOutcome.CANCELLATION_REQUESTED}
    assert jobs_and_cancels(emulator) == (1, 1)


async def test_closing_the_session_waits_for_a_cancel_of_the_user(emulator: Emulator, gate: Gate) -> None:
    emulator.faults.add(Fault.stall(0.3, on="cancel"))
    async with session_on(emulator) as fal:
        handle = await fal.queue.submit(GATE)
        cancelling = asyncio.ensure_future(handle.cancel())
        await emulator.wait_for("cancel")
    assert await cancelling is CancelOutcome.CANCELLATION_REQUESTED


async def test_closing_the_session_leaves_a_request_with_cancel_on_exit_false_and_logs_its_id(
    emulator: Emulator, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    async with session_on(emulator) as fal:
        waiting = asyncio.ensure_future(fal.subscribe(GATE, {"n": 1}, cancel_on_exit=False))
        await emulator.wait_for("status")
    error = await closed_error(waiting)
    assert jobs_and_cancels(emulator) == (1, 0)
    assert (error.request_id in emulator.jobs, error.cancel_outcome) == (True, None)
    assert f"request {error.request_id} was not cancelled" in caplog.text
    gate.open()
    async with session_on(emulator) as fal:
        assert error.request_id is not None
        assert (await fal.queue.handle(GATE, error.request_id).wait()).data == {"n": 1}


async def test_closing_the_session_raises_in_updates_and_cancels_nothing(
    emulator: Emulator, gate: Gate
) -> None:
    async def follow(fal: Session) -> None:
        handle = await fal.queue.submit(GATE)
        async with aclosing(handle.updates(poll_interval=0.05)) as updates:
            async for _ in updates:
                pass

    async with session_on(emulator) as fal:
        following = asyncio.ensure_future(follow(fal))
        await emulator.wait_for("status")
    with pytest.raises(SessionStateError, match="closed") as caught:
        await following
    assert caught.value.request_id in emulator.jobs
    assert jobs_and_cancels(emulator) == (1, 0)
    gate.open()


async def test_closing_the_session_closes_the_connection_of_a_direct_run(
    emulator: Emulator, gate: Gate
) -> None:
    async with session_on(emulator) as fal:
        waiting = asyncio.ensure_future(fal.run(GATE))
        await emulator.wait_for("run")
    error = await closed_error(waiting)
    assert "its connection was closed" in str(error)
    (job,) = emulator.jobs.values()
    await job.wait_for("COMPLETED", timeout=5)
    assert job.error_type == "client_disconnected"


async def test_closing_the_session_makes_an_unanswered_stream_uncertain_and_closes_an_open_one(
    emulator: Emulator,
) -> None:
    emulator.faults.add(Fault.stall(60, on="stream"))
    async with session_on(emulator) as fal:
        waiting = asyncio.ensure_future(fal.stream(LLM, ASK).last())
        await emulator.wait_for("stream")
    with pytest.raises(SubmissionUncertainError, match="the session was closed during the call"):
        await waiting
    emulator.faults.add(Fault.stall(60, on="stream", where="body"))
    async with session_on(emulator) as fal:
        stream = fal.stream(LLM, ASK)
        waiting = asyncio.ensure_future(stream.last())
        while stream.request_id is None:
            await asyncio.sleep(0.005)
    with pytest.raises(SessionStateError, match="the session was closed during the call") as caught:
        await waiting
    assert caught.value.request_id == stream.request_id


# Running submits.


@pytest.mark.parametrize("name", ["submit", "subscribe"])
async def test_closing_the_session_waits_for_a_running_submit_and_cancels_its_request(
    emulator: Emulator, gate: Gate, name: str
) -> None:
    emulator.faults.add(Fault.stall(0.3, on="submit"))
    async with session_on(emulator) as fal:
        call = fal.queue.submit if name == "submit" else fal.subscribe
        waiting = asyncio.ensure_future(call(GATE))
        await emulator.wait_for("submit")
    error = await closed_error(waiting)
    assert error.request_id in emulator.jobs
    assert error.cancel_outcome is not None
    assert jobs_and_cancels(emulator) == (1, 1)


async def test_closing_the_session_reports_a_submit_not_answered_in_time_as_uncertain(
    emulator: Emulator, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.faults.add(Fault.stall(30, on="submit"))
    async with session_on(emulator) as fal:
        waiting = asyncio.ensure_future(fal.subscribe(GATE, {"n": 1}))
        await emulator.wait_for("submit")
    error = await closed_error(waiting)
    assert "fal did not respond to the submit" in str(error)
    assert isinstance(error.__cause__, SubmissionUncertainError)
    assert "submit: fal may have accepted the request" in caplog.text
    async with session_on(emulator) as fal:
        found = await fal.queue.find_submission(error)
        assert found is not None
        assert found.request_id in emulator.jobs
        await found.cancel()


async def test_closing_the_session_sends_no_submit_that_has_not_left(emulator: Emulator, gate: Gate) -> None:
    emulator.faults.add(Fault.answer(429, on="submit", retry_after=60))
    async with session_on(emulator) as fal:
        waiting = asyncio.ensure_future(fal.subscribe(GATE))
        await emulator.wait_for("submit")
    assert "the request was not submitted" in str(await closed_error(waiting))
    assert (emulator.count("submit"), jobs_and_cancels(emulator)) == (1, (0, 0))


# Running cancels.


async def test_closing_the_session_waits_for_cancels_of_tasks_cancelled_before(
    emulator: Emulator, gate: Gate
) -> None:
    emulator.faults.add(Fault.stall(0.3, on="cancel", times=None))
    async with session_on(emulator) as fal:
        tasks = [asyncio.ensure_future(fal.subscribe(GATE)) for _ in range(3)]
        await emulator.wait_for("status", 3)
        for task in tasks:
            task.cancel()
    assert jobs_and_cancels(emulator) == (3, 3)
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}
    assert {job.error_type for job in emulator.jobs.values()} == {"client_cancelled"}


async def test_closing_the_session_gives_up_a_hanging_cancel_after_its_limit(
    emulator: Emulator, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.faults.add(Fault.stall(60, on="cancel"))
    async with session_on(emulator) as fal:
        waiting = asyncio.ensure_future(fal.subscribe(GATE))
        await emulator.wait_for("status")
    error = await closed_error(waiting)
    assert error.cancel_outcome is CancelOutcome.FAILED
    assert f"no response in time): request {error.request_id} may still run" in caplog.text


async def test_cancelling_aclose_finishes_the_work_and_raises_afterwards(
    emulator: Emulator, gate: Gate
) -> None:
    emulator.faults.add(Fault.stall(0.3, on="cancel"))
    fal = Session(emulator.key, hosts=emulator.hosts)
    waiting = asyncio.ensure_future(fal.subscribe(GATE))
    await emulator.wait_for("status")
    closing = asyncio.ensure_future(fal.aclose())
    await emulator.wait_for("cancel")
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert fal.closed
    await closed_error(waiting)
    assert jobs_and_cancels(emulator) == (1, 1)


async def test_two_concurrent_acloses_both_wait_for_the_end(emulator: Emulator, gate: Gate) -> None:
    emulator.faults.add(Fault.stall(0.3, on="cancel"))
    fal = Session(emulator.key, hosts=emulator.hosts)
    waiting = asyncio.ensure_future(fal.subscribe(GATE))
    await emulator.wait_for("status")
    await asyncio.gather(fal.aclose(), fal.aclose())
    await closed_error(waiting)
    assert jobs_and_cancels(emulator) == (1, 1)


async def test_calls_made_while_the_session_closes_are_refused(emulator: Emulator, gate: Gate) -> None:
    emulator.faults.add(Fault.stall(0.3, on="cancel"))
    fal = Session(emulator.key, hosts=emulator.hosts)
    waiting = asyncio.ensure_future(fal.subscribe(GATE))
    await emulator.wait_for("status")
    closing = asyncio.ensure_future(fal.aclose())
    await emulator.wait_for("cancel")
    for call in (fal.subscribe(LLM, ASK), fal.queue.submit(LLM, ASK), fal.run(LLM, ASK)):
        with pytest.raises(SessionStateError, match="the session is closed: open a new one"):
            await call
    await closing
    await closed_error(waiting)
    assert jobs_and_cancels(emulator) == (1, 1)


# Ways out of the block.


async def leaves_by_return() -> None:
    pass


async def leaves_by_error() -> None:
    raise ValueError("mine")


async def leaves_by_timeout() -> None:
    async with asyncio.timeout(0.01):
        await asyncio.sleep(60)


async def leaves_by_a_failing_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(leaves_by_error())
        await asyncio.sleep(60)


async def leaves_by_cancellation() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(60)


WAYS_OUT = [
    leaves_by_return,
    leaves_by_error,
    leaves_by_timeout,
    leaves_by_a_failing_group,
    leaves_by_cancellation,
]


@pytest.mark.parametrize("leave", WAYS_OUT)
async def test_every_way_out_of_the_block_cancels_the_request_once(
    emulator: Emulator, gate: Gate, leave: Callable[[], Awaitable[None]]
) -> None:
    waiting: list[asyncio.Future[Any]] = []

    async def block() -> None:
        async with session_on(emulator) as fal:
            waiting.append(asyncio.ensure_future(fal.subscribe(GATE)))
            await emulator.wait_for("status")
            await leave()

    await asyncio.wait([asyncio.ensure_future(block())])
    await closed_error(waiting[0])
    assert jobs_and_cancels(emulator) == (1, 1)


async def test_closing_the_session_raises_in_members_of_an_outer_task_group(
    emulator: Emulator, gate: Gate
) -> None:
    async def members() -> None:
        async with asyncio.TaskGroup() as group, session_on(emulator) as fal:
            for _ in range(3):
                group.create_task(fal.subscribe(GATE))
            await emulator.wait_for("status", 3)

    with pytest.raises(ExceptionGroup) as caught:
        await members()
    assert {type(error) for error in caught.value.exceptions} == {SessionStateError}
    assert jobs_and_cancels(emulator) == (3, 3)


async def test_a_callback_that_closes_the_session_ends_its_own_wait(emulator: Emulator, gate: Gate) -> None:
    fal = Session(emulator.key, hosts=emulator.hosts)

    async def close(_: QueueStatus) -> None:
        await fal.aclose()

    waiting = asyncio.ensure_future(fal.subscribe(GATE, on_queue_update=close, poll_interval=0.01))
    error = await closed_error(waiting)
    assert error.request_id in emulator.jobs
    assert error.cancel_outcome is CancelOutcome.CANCELLATION_REQUESTED
    assert jobs_and_cancels(emulator) == (1, 1)


async def test_a_callback_that_ignores_cancellation_does_not_delay_the_remote_cancel(
    emulator: Emulator, gate: Gate
) -> None:
    release = asyncio.Event()

    async def stubborn(_: QueueStatus) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async with session_on(emulator) as fal:
        waiting = asyncio.ensure_future(fal.subscribe(GATE, on_queue_update=stubborn, poll_interval=0.01))
        await emulator.wait_for("status")
        closing = asyncio.ensure_future(fal.aclose())
        await emulator.wait_for("cancel")
        release.set()
        await closing
    with pytest.raises(FalError) as caught:
        await waiting
    assert caught.value.request_id in emulator.jobs
    assert jobs_and_cancels(emulator) == (1, 1)


@pytest.mark.parametrize("steps", range(0, 72, 3))
async def test_a_session_closed_at_any_step_leaves_no_uncancelled_request(
    emulator: Emulator, gate: Gate, steps: int
) -> None:
    """The session is closed after this number of steps of the event loop."""
    gate.open()
    async with session_on(emulator) as fal:
        task = asyncio.ensure_future(fal.subscribe(GATE, {"n": 1}, poll_interval=0.001))
        for _ in range(steps):
            await asyncio.sleep(0)
    await asyncio.wait([task])
    jobs, cancels = jobs_and_cancels(emulator)
    if task.exception() is None:
        # If the result arrives while the session closes, a cancel of the completed request may have begun.
        assert jobs == 1 >= cancels
        assert emulator.jobs[task.result().request_id].completed_at is not None
    else:
        assert isinstance(task.exception(), SessionStateError)
        assert jobs == cancels <= 1


# Borrowed connections.


@asynccontextmanager
async def borrowing(emulator: Emulator) -> AsyncIterator[Session]:
    async with aiohttp.ClientSession() as http, session_on(emulator, client_session=http) as fal:
        yield fal


@asynccontextmanager
async def over_a_given_transport(emulator: Emulator) -> AsyncIterator[Session]:
    async with session_on(emulator) as other, session_on(emulator, transport=other.transport) as fal:
        yield fal


@pytest.mark.parametrize("owner", [borrowing, over_a_given_transport])
async def test_closing_a_session_over_borrowed_connections_cancels_its_requests(
    emulator: Emulator, gate: Gate, owner: Callable[[Emulator], Any]
) -> None:
    async with owner(emulator) as fal:
        waiting = asyncio.ensure_future(fal.subscribe(GATE))
        await emulator.wait_for("status")
    await closed_error(waiting)
    assert jobs_and_cancels(emulator) == (1, 1)


async def test_closing_a_view_does_not_end_its_calls(fal: Session, emulator: Emulator, gate: Gate) -> None:
    view = fal.with_options(tags={"a": "b"})
    waiting = asyncio.ensure_future(view.subscribe(GATE))
    await emulator.wait_for("status")
    await view.aclose()
    gate.open()
    await waiting
    assert jobs_and_cancels(emulator) == (1, 0)


# The end of the program.

_PROGRAM = """
import asyncio, signal
from fal_async import Session

async def waits(fal):
    await fal.subscribe("me/gate", {"n": 1})

async def in_a_task():
    async with Session() as fal:
        tasks = [asyncio.create_task(waits(fal)) for _ in range(3)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

async def in_a_task_of_their_own():
    asyncio.create_task(in_a_task())
    await asyncio.sleep(60)

async def without_a_block():
    fal = Session()
    tasks = [asyncio.create_task(waits(fal)) for _ in range(3)]
    await asyncio.sleep(60)

async def cancels_all_tasks():
    fal = Session()
    tasks = [asyncio.create_task(waits(fal)) for _ in range(3)]
    try:
        await asyncio.sleep(60)
    finally:
        for _ in range(3):
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0.01)
        await asyncio.wait(tasks)
        await fal.aclose()

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background processes
asyncio.run(%s())
"""


@pytest.mark.parametrize("stage", ["submit", "status"])
@pytest.mark.parametrize(
    "program", ["in_a_task", "in_a_task_of_their_own", "without_a_block", "cancels_all_tasks"]
)
async def test_ctrl_c_cancels_the_requests_of_all_tasks_once(
    emulator: Emulator, gate: Gate, program: str, stage: str
) -> None:
    if stage == "submit":
        emulator.faults.add(Fault.stall(0.5, on="submit", times=None))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PROGRAM % program,
        env={"FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key, "PYTHONPATH": ":".join(sys.path)},
        stderr=asyncio.subprocess.PIPE,
    )
    await emulator.wait_for(stage, 3, timeout=30)
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert "\nKeyboardInterrupt\n" in errors.decode()
    assert jobs_and_cancels(emulator) == (3, 3)
    assert {job.cancel_requests for job in emulator.jobs.values()} == {1}


async def test_a_second_ctrl_c_does_not_interrupt_the_cancels(emulator: Emulator, gate: Gate) -> None:
    emulator.faults.add(Fault.stall(1, on="cancel", times=None))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PROGRAM % "in_a_task",
        env={"FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key, "PYTHONPATH": ":".join(sys.path)},
        stderr=asyncio.subprocess.PIPE,
    )
    await emulator.wait_for("status", 3, timeout=30)
    process.send_signal(signal.SIGINT)
    await emulator.wait_for("cancel", 3)
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert "\nKeyboardInterrupt\n" in errors.decode()
    assert "the cancel failed" not in errors.decode()
    assert jobs_and_cancels(emulator) == (3, 3)


async def test_a_call_discarded_with_its_event_loop_logs_a_warning(emulator: Emulator, gate: Gate) -> None:
    program = """
import asyncio, gc, logging
from fal_async import Session
logging.basicConfig()

async def begin():
    asked = asyncio.Event()
    task = asyncio.ensure_future(fal.subscribe("me/gate", on_queue_update=lambda _: asked.set()))
    await asked.wait()

loop = asyncio.new_event_loop()
fal = Session()
loop.run_until_complete(begin())
loop.close()
gc.collect()
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        env={"FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key, "PYTHONPATH": ":".join(sys.path)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    (request_id,) = emulator.jobs
    assert (
        f"the call was discarded without being cancelled: request {request_id} may still run"
        in errors.decode()
    )
    assert "coroutine ignored" not in errors.decode()
    gate.open()
