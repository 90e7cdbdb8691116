"""A session that is closed ends what is waited for: one cancel each, and whoever waits is told. Then the pool.

That no task, socket or generator is left over is seen after every test, by the fixtures in `conftest.py`.
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


def the_books(emulator: Emulator) -> tuple[int, int]:
    """Jobs made, cancels sent."""
    return len(emulator.jobs), emulator.count("cancel")


async def it_is_followed(emulator: Emulator) -> None:
    while not emulator.count("status") and not emulator.count("status_stream"):
        await asyncio.sleep(0.005)


async def closed_error(waiting: asyncio.Future[Any]) -> SessionStateError:
    with pytest.raises(SessionStateError, match="the session was closed") as caught:
        await waiting
    return caught.value


# What is waited for.


@pytest.mark.parametrize("name", WAITS)
async def test_a_request_that_is_waited_for_is_cancelled_and_whoever_waits_is_told(
    emulator: Emulator, gate: Gate, name: str
) -> None:
    async with session_on(emulator) as fal:
        waiting = asyncio.ensure_future(WAITS[name](fal))
        await it_is_followed(emulator)
    error = await closed_error(waiting)
    (job,) = emulator.jobs.values()
    assert the_books(emulator) == (1, 1)
    assert job.error_type == "client_cancelled"
    assert (error.request_id, error.endpoint_id) == (job.request_id, GATE)
    assert error.cancel_outcome is CancelOutcome.CANCELLATION_REQUESTED
    assert "fal was asked to cancel it" in str(error)


async def test_many_are_cancelled_side_by_side(emulator: Emulator, gate: Gate) -> None:
    emulator.faults.add(Fault.stall(0.5, on="cancel", times=None))
    async with session_on(emulator) as fal:
        waiting = [asyncio.ensure_future(fal.subscribe(GATE)) for _ in range(20)]
        await emulator.wait_for("submit", 20)
    # One after the other, most would not have had their turn within the limit.
    errors = [await closed_error(task) for task in waiting]
    assert {error.cancel_outcome for error in errors} <= {
        CancelOutcome.CANCELLED,
        CancelOutcome.CANCELLATION_REQUESTED,
    }
    assert the_books(emulator) == (20, 20)


async def test_a_request_that_two_wait_for_is_cancelled_once(emulator: Emulator, gate: Gate) -> None:
    async with session_on(emulator) as fal:
        handle = await fal.queue.submit(GATE)
        same = fal.queue.handle(GATE, handle.request_id)
        waiting = [asyncio.ensure_future(which.wait()) for which in (handle, handle, same)]
        await emulator.wait_for("status", 3)
    errors = [await closed_error(task) for task in waiting]
    assert {error.cancel_outcome for error in errors} == {CancelOutcome.CANCELLATION_REQUESTED}
    assert the_books(emulator) == (1, 1)


async def test_a_cancel_of_the_users_own_is_waited_for(emulator: Emulator, gate: Gate) -> None:
    emulator.faults.add(Fault.stall(0.3, on="cancel"))
    async with session_on(emulator) as fal:
        handle = await fal.queue.submit(GATE)
        cancelling = asyncio.ensure_future(handle.cancel())
        await emulator.wait_for("cancel")
    assert await cancelling is CancelOutcome.CANCELLATION_REQUESTED


async def test_one_that_is_to_be_left_is_left_to_run_and_its_id_is_logged(
    emulator: Emulator, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    async with session_on(emulator) as fal:
        waiting = asyncio.ensure_future(fal.subscribe(GATE, {"n": 1}, cancel_on_exit=False))
        await emulator.wait_for("status")
    error = await closed_error(waiting)
    assert the_books(emulator) == (1, 0)
    assert (error.request_id in emulator.jobs, error.cancel_outcome) == (True, None)
    assert f"request {error.request_id} was left to run" in caplog.text
    gate.open()
    async with session_on(emulator) as fal:
        assert error.request_id is not None
        assert (await fal.queue.handle(GATE, error.request_id).wait()).data == {"n": 1}


async def test_following_alone_is_told_and_cancels_nothing(emulator: Emulator, gate: Gate) -> None:
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
    assert the_books(emulator) == (1, 0)
    gate.open()


async def test_a_direct_run_is_stopped_by_closing_its_connection(emulator: Emulator, gate: Gate) -> None:
    async with session_on(emulator) as fal:
        waiting = asyncio.ensure_future(fal.run(GATE))
        await emulator.wait_for("run")
    error = await closed_error(waiting)
    assert "its connection was closed" in str(error)
    (job,) = emulator.jobs.values()
    await job.wait_for("COMPLETED", timeout=5)
    assert job.error_type == "client_disconnected"


async def test_a_stream_that_has_not_begun_is_uncertain_and_one_that_has_is_closed(
    emulator: Emulator,
) -> None:
    emulator.faults.add(Fault.stall(60, on="stream"))
    async with session_on(emulator) as fal:
        waiting = asyncio.ensure_future(fal.stream(LLM, ASK).last())
        await emulator.wait_for("stream")
    with pytest.raises(SubmissionUncertainError, match="the session was closed meanwhile"):
        await waiting
    emulator.faults.add(Fault.stall(60, on="stream", where="body"))
    async with session_on(emulator) as fal:
        stream = fal.stream(LLM, ASK)
        waiting = asyncio.ensure_future(stream.last())
        while stream.request_id is None:
            await asyncio.sleep(0.005)
    with pytest.raises(SessionStateError, match="the session was closed meanwhile") as caught:
        await waiting
    assert caught.value.request_id == stream.request_id


# A submit that is under way.


@pytest.mark.parametrize("name", ["submit", "subscribe"])
async def test_a_submit_under_way_is_waited_for_and_its_request_cancelled(
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
    assert the_books(emulator) == (1, 1)


async def test_a_submit_that_is_not_answered_in_time_is_uncertain(
    emulator: Emulator, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.faults.add(Fault.stall(30, on="submit"))
    async with session_on(emulator) as fal:
        waiting = asyncio.ensure_future(fal.subscribe(GATE, {"n": 1}))
        await emulator.wait_for("submit")
    error = await closed_error(waiting)
    assert "its submit was not answered" in str(error)
    assert isinstance(error.__cause__, SubmissionUncertainError)
    assert "submit: fal may have taken the request" in caplog.text
    async with session_on(emulator) as fal:
        found = await fal.queue.find_submission(error)
        assert found is not None
        assert found.request_id in emulator.jobs
        await found.cancel()


async def test_a_submit_that_has_not_left_does_not_leave(emulator: Emulator, gate: Gate) -> None:
    emulator.faults.add(Fault.answer(429, on="submit", retry_after=60))
    async with session_on(emulator) as fal:
        waiting = asyncio.ensure_future(fal.subscribe(GATE))
        await emulator.wait_for("submit")
    assert "it was not submitted" in str(await closed_error(waiting))
    assert (emulator.count("submit"), the_books(emulator)) == (1, (0, 0))


# Cancels that are under way.


async def test_the_cancels_of_tasks_that_were_cancelled_just_before_are_waited_for(
    emulator: Emulator, gate: Gate
) -> None:
    emulator.faults.add(Fault.stall(0.3, on="cancel", times=None))
    async with session_on(emulator) as fal:
        tasks = [asyncio.ensure_future(fal.subscribe(GATE)) for _ in range(3)]
        await emulator.wait_for("status", 3)
        for task in tasks:
            task.cancel()
    assert the_books(emulator) == (3, 3)
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}
    assert {job.error_type for job in emulator.jobs.values()} == {"client_cancelled"}


async def test_a_cancel_that_hangs_is_left_after_its_limit(
    emulator: Emulator, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.faults.add(Fault.stall(60, on="cancel"))
    async with session_on(emulator) as fal:
        waiting = asyncio.ensure_future(fal.subscribe(GATE))
        await emulator.wait_for("status")
    error = await closed_error(waiting)
    assert error.cancel_outcome is CancelOutcome.FAILED
    assert f"no answer in time): request {error.request_id} may still run" in caplog.text


async def test_a_cancellation_of_whoever_closes_shortens_nothing_and_goes_on(
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
    assert the_books(emulator) == (1, 1)


async def test_who_closes_twice_at_once_waits_twice(emulator: Emulator, gate: Gate) -> None:
    emulator.faults.add(Fault.stall(0.3, on="cancel"))
    fal = Session(emulator.key, hosts=emulator.hosts)
    waiting = asyncio.ensure_future(fal.subscribe(GATE))
    await emulator.wait_for("status")
    await asyncio.gather(fal.aclose(), fal.aclose())
    await closed_error(waiting)
    assert the_books(emulator) == (1, 1)


async def test_what_begins_while_the_session_is_being_closed_is_refused(
    emulator: Emulator, gate: Gate
) -> None:
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
    assert the_books(emulator) == (1, 1)


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
async def test_every_way_out_of_the_block_cancels(
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
    assert the_books(emulator) == (1, 1)


async def test_the_members_of_a_group_outside_are_told(emulator: Emulator, gate: Gate) -> None:
    async def members() -> None:
        async with asyncio.TaskGroup() as group, session_on(emulator) as fal:
            for _ in range(3):
                group.create_task(fal.subscribe(GATE))
            await emulator.wait_for("status", 3)

    with pytest.raises(ExceptionGroup) as caught:
        await members()
    assert {type(error) for error in caught.value.exceptions} == {SessionStateError}
    assert the_books(emulator) == (3, 3)


async def test_a_callback_that_closes_the_session_ends_its_own_wait(emulator: Emulator, gate: Gate) -> None:
    fal = Session(emulator.key, hosts=emulator.hosts)

    async def close(_: QueueStatus) -> None:
        await fal.aclose()

    waiting = asyncio.ensure_future(fal.subscribe(GATE, on_queue_update=close, poll_interval=0.01))
    error = await closed_error(waiting)
    assert error.request_id in emulator.jobs
    assert error.cancel_outcome is CancelOutcome.CANCELLATION_REQUESTED
    assert the_books(emulator) == (1, 1)


async def test_a_callback_that_holds_its_wait_back_does_not_hold_back_the_cancel(
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
    assert the_books(emulator) == (1, 1)


@pytest.mark.parametrize("steps", range(0, 72, 3))
async def test_at_every_step_the_books_balance(emulator: Emulator, gate: Gate, steps: int) -> None:
    """The session is closed after so many steps of the loop, whatever is going on then."""
    gate.open()
    async with session_on(emulator) as fal:
        task = asyncio.ensure_future(fal.subscribe(GATE, {"n": 1}, poll_interval=0.001))
        for _ in range(steps):
            await asyncio.sleep(0)
    await asyncio.wait([task])
    jobs, cancels = the_books(emulator)
    if task.exception() is None:
        # Where its result comes while the session closes, a cancel may have begun, of a request that is complete.
        assert jobs == 1 >= cancels
        assert emulator.jobs[task.result().request_id].completed_at is not None
    else:
        assert isinstance(task.exception(), SessionStateError)
        assert jobs == cancels <= 1


# Whose connections they are.


@asynccontextmanager
async def borrowing(emulator: Emulator) -> AsyncIterator[Session]:
    async with aiohttp.ClientSession() as http, session_on(emulator, client_session=http) as fal:
        yield fal


@asynccontextmanager
async def over_a_transport_of_ones_own(emulator: Emulator) -> AsyncIterator[Session]:
    async with session_on(emulator) as other, session_on(emulator, transport=other.transport) as fal:
        yield fal


@pytest.mark.parametrize("owner", [borrowing, over_a_transport_of_ones_own])
async def test_over_connections_of_somebody_else_it_is_the_same(
    emulator: Emulator, gate: Gate, owner: Callable[[Emulator], Any]
) -> None:
    async with owner(emulator) as fal:
        waiting = asyncio.ensure_future(fal.subscribe(GATE))
        await emulator.wait_for("status")
    await closed_error(waiting)
    assert the_books(emulator) == (1, 1)


async def test_closing_a_view_ends_nothing(fal: Session, emulator: Emulator, gate: Gate) -> None:
    view = fal.with_options(tags={"a": "b"})
    waiting = asyncio.ensure_future(view.subscribe(GATE))
    await emulator.wait_for("status")
    await view.aclose()
    gate.open()
    await waiting
    assert the_books(emulator) == (1, 0)


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

signal.signal(signal.SIGINT, signal.default_int_handler)  # who was started in the background ignores it
asyncio.run(%s())
"""


@pytest.mark.parametrize("stage", ["submit", "status"])
@pytest.mark.parametrize(
    "program", ["in_a_task", "in_a_task_of_their_own", "without_a_block", "cancels_all_tasks"]
)
async def test_ctrl_c_while_others_wait(emulator: Emulator, gate: Gate, program: str, stage: str) -> None:
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
    assert the_books(emulator) == (3, 3)
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
    assert "the cancel did not go through" not in errors.decode()
    assert the_books(emulator) == (3, 3)


async def test_a_wait_that_is_thrown_away_with_its_loop_is_warned_of(emulator: Emulator, gate: Gate) -> None:
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
