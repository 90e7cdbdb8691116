"""A cancelled call cancels its request on fal, exactly once, at whichever step it is cancelled.

After every test, the fixtures in `conftest.py` check that no task, socket or generator is left.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fal_async import (
    CancelOutcome,
    Completed,
    NotFoundError,
    QueueStatus,
    Session,
    SessionStateError,
    SubmissionUncertainError,
)
from fal_async.cancellation import OpenWaits
from fal_async.emulator import Emulator, Fault
from fal_async.protocol.following import Mode
from tests.emulator.gate import Gate
from tests.quick import ASK, GATE, LLM, Noted, gate_at, pool_of, quick, session_on

MODES: list[Mode] = ["polling", "streaming", "auto"]


@pytest.fixture
def gate(emulator: Emulator) -> Gate:
    return gate_at(emulator)


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def jobs_and_cancels(emulator: Emulator) -> tuple[int, int]:
    """Return how many jobs were made, and how many cancels were sent."""
    return len(emulator.jobs), emulator.count("cancel")


# During the submit.


async def test_a_call_cancelled_before_its_submit_was_sent_makes_no_request(
    emulator: Emulator, gate: Gate
) -> None:
    noted = Noted()
    async with session_on(emulator, retry=quick(max_attempts=10**6, on_retry=noted)) as fal:
        await emulator.pause()
        task = asyncio.create_task(fal.subscribe(GATE))
        await noted.first.wait()
        await cancelled(task)
        await emulator.resume()
        assert await fal.verify_credentials()
    assert jobs_and_cancels(emulator) == (0, 0)


async def test_a_call_cancelled_before_its_first_step_sends_nothing(fal: Session, emulator: Emulator) -> None:
    await cancelled(asyncio.create_task(fal.subscribe(LLM, ASK)))
    assert emulator.count() == 0


@pytest.mark.parametrize("name", ["submit", "subscribe"])
async def test_a_submit_cancelled_after_fal_took_it_waits_for_the_id_and_cancels(
    fal: Session, emulator: Emulator, gate: Gate, name: str
) -> None:
    emulator.faults.add(Fault.stall(0.3, on="submit"))
    task = asyncio.create_task((fal.subscribe if name == "subscribe" else fal.queue.submit)(GATE))
    await emulator.wait_for("submit")
    await cancelled(task)
    (job,) = emulator.jobs.values()
    assert jobs_and_cancels(emulator) == (1, 1)
    assert (job.cancel_requests, job.error_type) == (1, "client_cancelled")


async def test_a_second_cancellation_does_not_shorten_the_wait_for_the_id(
    fal: Session, emulator: Emulator, gate: Gate
) -> None:
    emulator.faults.add(Fault.stall(0.3, on="submit"))
    task = asyncio.create_task(fal.subscribe(GATE))
    await emulator.wait_for("submit")
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.01)
    await cancelled(task)
    assert jobs_and_cancels(emulator) == (1, 1)


async def test_a_cancelled_submit_that_is_never_answered_logs_a_warning(
    fal: Session, emulator: Emulator, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.faults.add(Fault.stall(30, on="submit"))
    task = asyncio.create_task(fal.subscribe(GATE))
    await emulator.wait_for("submit")
    await cancelled(task)
    assert jobs_and_cancels(emulator) == (1, 0)
    assert "submit: fal may have accepted the request" in caplog.text


@pytest.mark.parametrize("fault", [Fault.answer(429), Fault.html(503)], ids=["429", "503 page"])
async def test_a_refused_submit_is_not_retried_after_its_caller_was_cancelled(
    emulator: Emulator, gate: Gate, fault: Fault
) -> None:
    # Stalled first, so that the cancellation comes before the refusal.
    stalled = Fault.stall(0.2, on="submit", taken=False)
    emulator.faults.add(stalled)
    async with session_on(emulator) as fal:
        task = asyncio.create_task(fal.subscribe(GATE))
        await emulator.wait_for("submit")
        emulator.faults.add(fault)
        await cancelled(task)
    assert emulator.count("submit") == 1
    assert jobs_and_cancels(emulator) == (0, 0)


async def test_a_submit_cancelled_between_two_attempts_makes_no_further_one(
    emulator: Emulator, gate: Gate
) -> None:
    noted = Noted()
    emulator.faults.add(Fault.answer(429, on="submit", retry_after=30))
    async with session_on(emulator, retry=quick(on_retry=noted)) as fal:
        task = asyncio.create_task(fal.subscribe(GATE))
        await noted.first.wait()
        await cancelled(task)
    assert emulator.count("submit") == 1
    assert jobs_and_cancels(emulator) == (0, 0)


# While it waits.


@pytest.mark.parametrize("mode", MODES)
async def test_a_call_cancelled_while_following_cancels_the_request_once(
    fal: Session, emulator: Emulator, gate: Gate, mode: Mode
) -> None:
    task = asyncio.create_task(fal.subscribe(GATE, mode=mode))
    await emulator.wait_for("status" if mode == "polling" else "status_stream")
    await cancelled(task)
    (job,) = emulator.jobs.values()
    assert jobs_and_cancels(emulator) == (1, 1)
    assert job.error_type == "client_cancelled"


async def test_a_call_cancelled_between_two_polls_cancels_the_request_once(
    fal: Session, emulator: Emulator, gate: Gate
) -> None:
    asked = asyncio.Event()
    task = asyncio.create_task(fal.subscribe(GATE, poll_interval=20, on_queue_update=lambda _: asked.set()))
    await asked.wait()
    await asyncio.sleep(0)  # out of the callback, into the pause
    await cancelled(task)
    assert jobs_and_cancels(emulator) == (1, 1)
    assert emulator.count("status") == 1


@pytest.mark.parametrize("where", ["headers", "body"])
async def test_a_call_cancelled_during_a_poll_cancels_the_request_once(
    fal: Session, emulator: Emulator, gate: Gate, where: str
) -> None:
    emulator.faults.add(Fault.stall(30, where=where, on="status"))
    task = asyncio.create_task(fal.subscribe(GATE))
    await emulator.wait_for("status")
    await cancelled(task)
    assert jobs_and_cancels(emulator) == (1, 1)


@pytest.mark.parametrize("where", ["headers", "body"])
async def test_a_call_cancelled_during_the_result_fetch_cancels_the_request_once(
    fal: Session, emulator: Emulator, where: str
) -> None:
    emulator.faults.add(Fault.stall(30, where=where, on="result"))
    task = asyncio.create_task(fal.subscribe(LLM, ASK))
    await emulator.wait_for("result")
    await cancelled(task)
    assert jobs_and_cancels(emulator) == (1, 1)


async def test_a_call_cancelled_during_an_outage_cancels_the_request_once(
    emulator: Emulator, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    async with session_on(emulator) as fal:
        task = asyncio.create_task(fal.subscribe(GATE))
        await emulator.wait_for("status")
        emulator.faults.add(Fault.html(502, on="status", times=None))
        await emulator.wait_for("status", 4)
        await cancelled(task)
    assert jobs_and_cancels(emulator) == (1, 1)


async def test_a_cancelled_handle_wait_cancels_the_request_once(
    fal: Session, emulator: Emulator, gate: Gate
) -> None:
    handle = await fal.queue.submit(GATE)
    task = asyncio.create_task(handle.wait())
    await emulator.wait_for("status")
    await cancelled(task)
    assert jobs_and_cancels(emulator) == (1, 1)


async def test_cancelling_handle_updates_does_not_cancel_the_request(
    fal: Session, emulator: Emulator, gate: Gate
) -> None:
    handle = await fal.queue.submit(GATE)

    async def follow() -> None:
        async for _ in handle.updates():
            pass

    task = asyncio.create_task(follow())
    await emulator.wait_for("status")
    await cancelled(task)
    # The generator was left suspended, so that only the garbage collector closes it.
    for _ in range(3):
        await asyncio.sleep(0)
    assert jobs_and_cancels(emulator) == (1, 0)
    await handle.cancel()


@pytest.mark.parametrize("stage", ["status", "result", "callback"])
async def test_a_call_with_cancel_on_exit_false_leaves_the_request_running(
    fal: Session, emulator: Emulator, gate: Gate, stage: str
) -> None:
    reached = asyncio.Event()

    async def callback(_: QueueStatus) -> None:
        if stage == "callback":
            reached.set()
            await asyncio.sleep(30)

    if stage == "result":
        gate.open()
        emulator.faults.add(Fault.stall(30, on="result"))
    task = asyncio.create_task(fal.subscribe(GATE, {"n": 1}, on_queue_update=callback, cancel_on_exit=False))
    await (reached.wait() if stage == "callback" else emulator.wait_for(stage))
    await cancelled(task)
    gate.open()
    assert jobs_and_cancels(emulator) == (1, 0)
    (request_id,) = emulator.jobs
    assert (await fal.queue.handle(GATE, request_id).wait()).data == {"n": 1}


async def test_a_submit_with_cancel_on_exit_false_is_left_running_when_cancelled(
    fal: Session, emulator: Emulator, gate: Gate
) -> None:
    emulator.faults.add(Fault.stall(0.2, on="submit"))
    task = asyncio.create_task(fal.subscribe(GATE, cancel_on_exit=False))
    await emulator.wait_for("submit")
    await cancelled(task)
    assert jobs_and_cancels(emulator) == (1, 0)


# In callbacks.


class Odd(BaseException):
    """Not an Exception, like the one that `pytest.fail` raises."""


Subscribe = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize("callback", ["on_enqueue", "on_queue_update"])
async def test_a_call_cancelled_in_an_async_callback_cancels_the_request_once(
    fal: Session, emulator: Emulator, gate: Gate, callback: str
) -> None:
    reached = asyncio.Event()

    async def wait(_: object) -> None:
        reached.set()
        await asyncio.sleep(30)

    subscribe: Subscribe = fal.subscribe
    task = asyncio.ensure_future(subscribe(GATE, **{callback: wait}))
    await reached.wait()
    await cancelled(task)
    assert jobs_and_cancels(emulator) == (1, 1)


@pytest.mark.parametrize("callback", ["on_enqueue", "on_queue_update"])
async def test_a_callback_that_cancels_its_own_call_cancels_the_request_once(
    fal: Session, emulator: Emulator, gate: Gate, callback: str
) -> None:
    task: asyncio.Future[Any] | None = None

    def cancel(_: object) -> None:
        assert task is not None
        task.cancel()

    subscribe: Subscribe = fal.subscribe
    task = asyncio.ensure_future(subscribe(GATE, **{callback: cancel}))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert jobs_and_cancels(emulator) == (1, 1)


@pytest.mark.parametrize("callback", ["on_enqueue", "on_queue_update"])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("mine"),
        NotFoundError("of another request", status=404),
        SubmissionUncertainError("another"),
        SessionStateError("of another session"),
        TimeoutError("mine"),
        Odd(),
        GeneratorExit(),
    ],
    ids=["plain", "ours", "uncertain", "closed", "timeout", "odd", "generator"],
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_an_exception_in_a_callback_ends_the_wait_and_cancels_the_request(
    fal: Session, emulator: Emulator, gate: Gate, callback: str, error: BaseException, is_async: bool
) -> None:
    def fail(_: object) -> None:
        raise error

    async def fail_later(_: object) -> None:
        await asyncio.sleep(0)
        raise error

    subscribe: Subscribe = fal.subscribe
    with pytest.raises(type(error)) as caught:
        await subscribe(GATE, **{callback: fail_later if is_async else fail})
    assert caught.value is error
    assert error.__cause__ is None
    assert error.__context__ is None
    assert jobs_and_cancels(emulator) == (1, 1)


async def test_sys_exit_in_a_callback_cancels_the_request_once(
    fal: Session, emulator: Emulator, gate: Gate
) -> None:
    async def leave() -> None:
        with pytest.raises(SystemExit):
            await fal.subscribe(GATE, on_queue_update=lambda _: sys.exit(3))

    await leave()
    assert jobs_and_cancels(emulator) == (1, 1)


# The cancel itself.


async def test_a_second_cancellation_does_not_interrupt_the_remote_cancel(
    fal: Session, emulator: Emulator, gate: Gate
) -> None:
    emulator.faults.add(Fault.stall(0.3, on="cancel"))
    task = asyncio.create_task(fal.subscribe(GATE))
    await emulator.wait_for("status")
    task.cancel()
    await emulator.wait_for("cancel")
    task.cancel()
    await cancelled(task)
    (job,) = emulator.jobs.values()
    assert jobs_and_cancels(emulator) == (1, 1)
    assert job.error_type == "client_cancelled"


async def test_several_cancellations_of_a_call_send_one_remote_cancel(
    fal: Session, emulator: Emulator, gate: Gate
) -> None:
    task = asyncio.create_task(fal.subscribe(GATE))
    await emulator.wait_for("status")
    for _ in range(5):
        task.cancel()
        await asyncio.sleep(0)
    await cancelled(task)
    assert jobs_and_cancels(emulator) == (1, 1)


async def test_a_cancellation_during_the_remote_cancel_of_a_timeout_raises_cancelled_error(
    fal: Session, emulator: Emulator, gate: Gate
) -> None:
    """The caller gets the CancelledError of its last cancellation, and the request is still cancelled on fal."""
    emulator.faults.add(Fault.stall(0.3, on="cancel"))
    task = asyncio.create_task(fal.subscribe(GATE, timeout=0.3))
    await emulator.wait_for("cancel")
    await cancelled(task)
    assert jobs_and_cancels(emulator) == (1, 1)


@pytest.mark.parametrize(
    "fault",
    [Fault.answer(500), Fault.html(502), Fault.reset(), Fault.vanish()],
    ids=["500", "502 page", "reset", "404"],
)
async def test_a_failed_remote_cancel_still_raises_cancelled_error(
    emulator: Emulator, gate: Gate, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.faults.add(Fault.from_json({**fault.to_json(), "on": "cancel", "times": None}))
    async with session_on(emulator) as fal:
        task = asyncio.create_task(fal.subscribe(GATE))
        await emulator.wait_for("status")
        await cancelled(task)
    (job,) = emulator.jobs.values()
    assert ("the cancel failed" in caplog.text) == (fault.kind != "vanish")
    assert job.error_type is None


async def test_a_hanging_remote_cancel_is_given_up_after_a_few_seconds(
    fal: Session, emulator: Emulator, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.faults.add(Fault.stall(30, on="cancel"))
    task = asyncio.create_task(fal.subscribe(GATE))
    await emulator.wait_for("status")
    await cancelled(task)
    assert "no response in time" in caplog.text


# What cancels the calls.


async def test_a_failing_task_group_cancels_each_of_its_requests_once(
    fal: Session, emulator: Emulator, gate: Gate
) -> None:
    async def fail() -> None:
        await emulator.wait_for("status", 5)
        raise ValueError("mine")

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(fal.subscribe(GATE))
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as caught:
        await together()
    assert [type(error) for error in caught.value.exceptions] == [ValueError]
    assert jobs_and_cancels(emulator) == (5, 5)
    assert {job.error_type for job in emulator.jobs.values()} <= {"client_cancelled"}


async def test_a_hundred_cancelled_calls_cancel_a_hundred_requests(
    fal: Session, emulator: Emulator, gate: Gate
) -> None:
    tasks = [asyncio.create_task(fal.subscribe(GATE)) for _ in range(100)]
    await emulator.wait_for("submit", 100)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}
    assert jobs_and_cancels(emulator) == (100, 100)


@pytest.mark.parametrize("steps", range(0, 72, 3))
async def test_a_call_cancelled_at_any_step_leaves_no_uncancelled_request(
    fal: Session, emulator: Emulator, gate: Gate, steps: int
) -> None:
    """The call is cancelled after this number of steps of the event loop."""
    gate.open()
    task = asyncio.create_task(fal.subscribe(GATE, poll_interval=0.001))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    jobs, cancels = jobs_and_cancels(emulator)
    assert cancels == (jobs if task.cancelled() else 0)
    assert jobs <= 1


async def test_a_call_cancelled_at_any_step_on_an_open_connection_sends_nothing_later(
    fal: Session, emulator: Emulator, gate: Gate
) -> None:
    """The call takes a few steps to the wire: a request that was not sent yet must not be sent afterwards."""
    await fal.verify_credentials()
    for steps in range(40):
        task = asyncio.create_task(fal.subscribe(GATE))
        for _ in range(steps):
            await asyncio.sleep(0)
        await cancelled(task)
        assert await fal.verify_credentials()  # if the submit was sent, the server has it by now
        jobs, cancels = jobs_and_cancels(emulator)
        assert jobs == cancels, steps


async def test_cancelling_a_direct_run_closes_its_connection(
    fal: Session, emulator: Emulator, gate: Gate
) -> None:
    task = asyncio.create_task(fal.run(GATE))
    await emulator.wait_for("run")
    await cancelled(task)
    (job,) = emulator.jobs.values()
    await job.wait_for("COMPLETED", timeout=5)
    assert job.error_type == "client_disconnected"


async def test_cancelling_a_run_that_reads_its_answer_closes_the_connection_at_once(
    emulator: Emulator,
) -> None:
    """It does not wait for garbage collection: the traceback of the cancellation still holds the answer here."""
    emulator.faults.add(Fault.stall(60, on="run", where="body"))
    async with session_on(emulator) as fal:
        task = asyncio.create_task(fal.run(LLM, ASK))
        while not pool_of(fal).being_read:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        while emulator.connections_open:
            await asyncio.sleep(0.01)
        assert caught.tb is not None


_SCRIPT = """
import asyncio, signal
from fal_async import Session

async def main():
    async with Session() as fal:
        await fal.subscribe("me/gate", {"n": 1}%s)

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background processes
asyncio.run(main())
"""


@pytest.mark.parametrize("keep", [False, True])
async def test_ctrl_c_cancels_the_request_unless_cancel_on_exit_is_false(
    emulator: Emulator, gate: Gate, keep: bool
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-X",
        "dev",
        "-c",
        _SCRIPT % (", cancel_on_exit=False" if keep else ""),
        env={"FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key, "PYTHONPATH": ":".join(sys.path)},
        stderr=asyncio.subprocess.PIPE,
    )
    await emulator.wait_for("status", timeout=30)
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    words = errors.decode()
    assert process.returncode in (130, -signal.SIGINT)
    assert words.rstrip().endswith("KeyboardInterrupt")
    assert "never retrieved" not in words
    assert "Warning" not in words
    assert jobs_and_cancels(emulator) == (1, 0 if keep else 1)
    gate.open()


async def test_a_completed_request_is_not_cancelled(fal: Session, emulator: Emulator) -> None:
    seen: list[QueueStatus] = []
    await fal.subscribe(LLM, ASK, timeout=30, on_queue_update=seen.append)
    assert isinstance(seen[-1], Completed)
    assert jobs_and_cancels(emulator) == (1, 0)


class Taken:
    """A request whose cancel is never answered."""

    last_status = None

    def __init__(self, number: int) -> None:
        self.request_id = f"request-{number}"

    async def cancel(self) -> CancelOutcome:
        await asyncio.Event().wait()
        raise AssertionError


async def test_thousands_of_simultaneous_cancels_get_a_longer_time_limit() -> None:
    waits = OpenWaits()
    few = waits.cancel_limit
    tasks = [waits.cancel(Taken(number)) for number in range(2000)]
    many = waits.cancel_limit
    await asyncio.sleep(0)  # the tasks take their first step
    for task in tasks:
        task.give_up()
    assert set(await asyncio.gather(*tasks)) == {CancelOutcome.FAILED}
    assert (few, many, waits.cancel_limit) == (3, 15, 3)
