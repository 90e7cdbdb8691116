"""Every wait is limited: connect, first byte and total of an attempt, and `timeout=` of the whole call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from fal_async import (
    CancelOutcome,
    ClientTimeoutError,
    ConfigurationError,
    Hosts,
    Session,
    SubmissionUncertainError,
    Timeouts,
    TransportError,
    TransportTimeoutError,
)
from fal_async.emulator import Emulator, Fault
from tests.quick import ASK, GATE, LLM, ONCE, at_once, gate_at, impatient, quick, session_on
from tests.servers.loopback import crowded_port

LONG = 30.0
"""Seconds. No test takes that long, unless something hangs."""


@pytest.fixture(autouse=True)
def nothing_hangs() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < LONG


# One attempt.


@pytest.fixture
def full_backlog() -> Iterator[str]:
    with crowded_port() as port:
        yield f"http://127.0.0.1:{port}"


async def test_a_connection_beyond_the_connect_limit_times_out(full_backlog: str) -> None:
    timeouts = Timeouts(connect=0.1)
    async with Session("a:b", hosts=Hosts.local(full_backlog), timeout=timeouts, retry=ONCE) as fal:
        for call in (fal.run, fal.subscribe):
            with pytest.raises(TransportTimeoutError, match=r"no connection to .* within 0\.1 s"):
                await call(LLM, ASK)


class _SilentNames(asyncio.SelectorEventLoop):
    """An event loop whose name look-up never ends."""

    async def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(LONG)


def test_a_name_server_that_never_answers_times_out() -> None:
    async def ask() -> None:
        hosts = Hosts.local("http://fal.invalid:8080")
        async with Session("a:b", hosts=hosts, timeout=Timeouts(connect=0.1), retry=ONCE) as fal:
            with pytest.raises(
                TransportTimeoutError, match=r"no connection to fal\.invalid:8080 within 0\.1 s"
            ):
                await fal.run(LLM, ASK)

    with asyncio.Runner(loop_factory=_SilentNames) as runner:
        runner.run(ask())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.stall(LONG, taken=False), r"silent for 0\.3 s"),
        (Fault.stall(LONG), r"silent for 0\.3 s"),
        (Fault.stall(LONG, where="body"), r"silent for 0\.3 s"),
        (Fault.drip(0.06), r"not complete within 1 s"),
    ],
    ids=["never answers", "answers too late", "stalls in the body", "drips"],
)
async def test_a_slow_server_times_out_in_each_operation_and_the_error_names_the_limit(
    no_tasks_left: None, fault: Fault, words: str
) -> None:
    first_byte = 5.0 if fault.kind == "drip" else 0.3  # a response that drips is limited by `total`
    limits = Timeouts(connect=1, first_byte=first_byte, total=1.0, run=1.0)

    async def check(name: str) -> None:
        async with Emulator(speed=50) as emulator, session_on(emulator, retry=ONCE) as patient:
            gate_at(emulator)
            request_id = (await patient.queue.submit(GATE)).request_id
            fal = patient.with_options(timeout=limits)
            handle = fal.queue.handle(GATE, request_id)
            emulator.faults.add(Fault.from_json({**fault.to_json(), "on": name, "times": None}))
            calls: dict[str, Any] = {"run": fal.run, "submit": fal.queue.submit}
            call = calls[name](LLM, ASK) if name in calls else getattr(handle, name)()
            with pytest.raises((TransportTimeoutError, SubmissionUncertainError)) as caught:
                await call
        if name == "run":
            assert "did not answer within 1 s (Timeouts.run)" in str(caught.value)
        else:
            caught.match(words)
        assert isinstance(caught.value, SubmissionUncertainError) == (name in calls)

    await at_once(check, ["run", "submit", "status", "result", "cancel"])


async def test_limits_can_be_passed_for_one_call(emulator: Emulator) -> None:
    emulator.faults.add(Fault.stall(LONG, on="status"))
    async with session_on(emulator, retry=ONCE) as fal:
        handle = await fal.queue.submit(LLM, ASK)
        hasty = fal.with_options(timeout=0.1)
        with pytest.raises(TransportTimeoutError):
            await hasty.queue.status(LLM, handle.request_id)
        assert await fal.queue.status(LLM, handle.request_id)


# The whole call.


async def test_a_timeout_cancels_the_remote_request_once(fal: Session, emulator: Emulator) -> None:
    gate_at(emulator)
    with pytest.raises(ClientTimeoutError) as caught:
        await fal.subscribe(GATE, timeout=0.5)
    error = caught.value
    (job,) = emulator.jobs.values()
    assert error.request_id == job.request_id
    assert error.endpoint_id == GATE
    assert (error.timeout, error.last_status) == (0.5, "IN_PROGRESS")
    assert error.cancel_outcome is CancelOutcome.CANCELLATION_REQUESTED
    assert "no result within 0.5 s, last seen IN_PROGRESS; fal was asked to cancel the request" in str(error)
    assert emulator.count("cancel") == 1
    assert job.error_type == "client_cancelled"


async def test_a_timeout_removes_a_queued_request(fal: Session, emulator: Emulator) -> None:
    gate = gate_at(emulator)
    for _ in range(3):
        await fal.queue.submit(GATE)
    with pytest.raises(
        ClientTimeoutError, match="IN_QUEUE at position 1; fal removed the request from the queue"
    ) as caught:
        await fal.subscribe(GATE, timeout=0.4)
    assert caught.value.cancel_outcome is CancelOutcome.CANCELLED
    assert len(gate.started) == 2


async def test_a_timeout_of_wait_cancels_the_remote_request(fal: Session, emulator: Emulator) -> None:
    gate_at(emulator)
    handle = await fal.queue.submit(GATE)
    with pytest.raises(ClientTimeoutError):
        await handle.wait(timeout=0.2, cancel_on_exit=False)
    assert emulator.count("cancel") == 0
    with pytest.raises(ClientTimeoutError, match="fal was asked to cancel the request"):
        await handle.wait(timeout=0.2)
    assert emulator.count("cancel") == 1


async def test_a_request_left_to_run_after_a_timeout_can_be_continued(
    fal: Session, emulator: Emulator
) -> None:
    gate = gate_at(emulator)
    with pytest.raises(ClientTimeoutError, match="the request was not cancelled") as caught:
        await fal.subscribe(GATE, {"n": 1}, timeout=0.3, cancel_on_exit=False)
    assert (caught.value.cancel_outcome, emulator.count("cancel")) == (None, 0)
    gate.open()
    assert caught.value.request_id is not None
    assert (await fal.queue.handle(GATE, caught.value.request_id).wait()).data == {"n": 1}


async def test_a_timeout_while_the_result_is_fetched_says_that_it_completed(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.stall(LONG, on="result", times=None))
    with pytest.raises(ClientTimeoutError, match="the request has completed in the meantime") as caught:
        await fal.subscribe(LLM, ASK, timeout=1)
    assert caught.value.cancel_outcome is CancelOutcome.ALREADY_COMPLETED
    assert caught.value.last_status == "COMPLETED"
    assert emulator.count("cancel") == 1


async def test_the_timeout_of_a_call_includes_the_pauses_of_retries(emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(429, retry_after=50, times=None))
    async with session_on(emulator) as fal:
        with pytest.raises(ClientTimeoutError, match="the request was not submitted") as caught:
            await fal.subscribe(LLM, ASK, timeout=0.3)
    assert (caught.value.request_id, caught.value.cancel_outcome) == (None, None)
    assert (len(emulator.jobs), emulator.count("cancel")) == (0, 0)


async def test_the_timeout_of_a_call_includes_an_outage(emulator: Emulator) -> None:
    gate_at(emulator)
    async with session_on(emulator) as fal:
        handle = await fal.queue.submit(GATE)
        await emulator.pause()
        with pytest.raises(
            ClientTimeoutError, match="the cancel failed: the request may still run"
        ) as caught:
            await handle.wait(timeout=0.3)
    assert caught.value.cancel_outcome is CancelOutcome.FAILED
    assert caught.value.request_id == handle.request_id


async def test_a_cancel_that_hangs_does_not_hang_the_caller(
    fal: Session, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    gate_at(emulator)
    emulator.faults.add(Fault.stall(LONG, on="cancel", times=None))
    began = time.monotonic()
    with pytest.raises(ClientTimeoutError, match="the cancel failed") as caught:
        await fal.subscribe(GATE, timeout=0.3)
    assert 3 <= time.monotonic() - began < 10
    assert caught.value.cancel_outcome is CancelOutcome.FAILED
    assert f"no response in time): request {caught.value.request_id} may still run" in caplog.text


@pytest.mark.parametrize(
    "fault",
    [Fault.answer(403), Fault.answer(500), Fault.html(502), Fault.reset()],
    ids=["403", "500", "page 502", "reset"],
)
async def test_a_failed_cancel_after_a_timeout_is_reported(
    emulator: Emulator, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    gate_at(emulator)
    emulator.faults.add(Fault.from_json({**fault.to_json(), "on": "cancel", "times": None}))
    async with session_on(emulator) as fal:
        with pytest.raises(ClientTimeoutError) as caught:
            await fal.subscribe(GATE, timeout=0.3)
    assert caught.value.cancel_outcome is CancelOutcome.FAILED
    assert "the cancel failed" in caplog.text


async def test_a_submit_that_hangs_and_is_answered_late_is_cancelled(emulator: Emulator) -> None:
    gate_at(emulator)
    emulator.faults.add(Fault.stall(0.6, on="submit"))
    async with session_on(emulator) as fal:
        with pytest.raises(ClientTimeoutError, match="fal was asked to cancel the request") as caught:
            await fal.subscribe(GATE, timeout=0.2)
    (job,) = emulator.jobs.values()
    assert caught.value.request_id == job.request_id
    assert (job.cancel_requests, job.error_type) == (1, "client_cancelled")


async def test_a_timeout_says_that_the_submit_was_not_answered(emulator: Emulator) -> None:
    emulator.faults.add(Fault.stall(LONG, on="submit"))
    async with session_on(emulator) as fal:
        with pytest.raises(ClientTimeoutError, match="fal did not respond to the submit") as caught:
            await fal.subscribe(LLM, ASK, timeout=0.5)
    uncertain = caught.value.__cause__
    assert isinstance(uncertain, SubmissionUncertainError)
    assert uncertain.input_digest is not None
    assert uncertain.started_at is not None
    assert emulator.count("submit") == 1


async def test_a_timeout_without_a_connection_says_that_nothing_was_submitted(full_backlog: str) -> None:
    async with Session("a:b", hosts=Hosts.local(full_backlog)) as fal:
        for call, words in (
            (fal.subscribe, "the request was not submitted"),
            (fal.run, "the request was not sent"),
        ):
            with pytest.raises(ClientTimeoutError, match=words):
                await call(LLM, ASK, timeout=0.1)


async def test_a_timeout_of_a_direct_run_closes_its_connection(fal: Session, emulator: Emulator) -> None:
    gate_at(emulator)
    with pytest.raises(ClientTimeoutError, match=r"no result within 0\.5 s; its connection was closed"):
        await fal.run(GATE, timeout=0.5)
    (job,) = emulator.jobs.values()
    await job.wait_for("COMPLETED", timeout=5)
    assert job.error_type == "client_disconnected"


async def test_a_timeout_error_of_a_callback_is_not_translated(fal: Session, emulator: Emulator) -> None:
    def callback(_: object) -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as caught:
        await fal.subscribe(LLM, ASK, timeout=60, on_queue_update=callback)
    assert not isinstance(caught.value, ClientTimeoutError)
    assert emulator.count("cancel") == 1


async def test_an_outer_asyncio_timeout_cancels_the_remote_request(fal: Session, emulator: Emulator) -> None:
    gate_at(emulator)
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.3):
            await fal.subscribe(GATE, timeout=60)
    assert not isinstance(caught.value, ClientTimeoutError)
    assert emulator.count("cancel") == 1


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), True, "5"])
async def test_a_wrong_timeout_of_a_call_is_refused(fal: Session, emulator: Emulator, timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected a positive number of seconds"):
        await fal.subscribe(LLM, timeout=timeout)
    with pytest.raises(ConfigurationError, match="expected a positive number of seconds"):
        await fal.queue.handle(LLM, "some-id").wait(timeout=timeout)
    assert emulator.count() == 0


async def test_following_is_not_limited_by_the_limits_of_one_attempt(emulator: Emulator) -> None:
    """A stalled poll is one failed poll, and following continues."""
    gate = gate_at(emulator)
    emulator.faults.add(Fault.stall(LONG, on="status", times=4))
    async with session_on(emulator, timeout=impatient(), retry=quick()) as fal:
        asked = asyncio.create_task(fal.subscribe(GATE, {"n": 1}))
        await emulator.wait_for("status", 4)
        gate.open()
        result = await asked
    assert result.data == {"n": 1}
    assert emulator.count("submit") == 1


async def test_an_unreachable_server_raises_transport_error_with_its_cause(emulator: Emulator) -> None:
    await emulator.pause()
    async with session_on(emulator, retry=ONCE) as fal:
        with pytest.raises(TransportError, match="Connection refused") as caught:
            await fal.run(LLM, ASK)
    assert isinstance(caught.value.__cause__, aiohttp.ClientConnectorError)


@pytest.mark.parametrize(
    "fault",
    [
        Fault.stall(LONG, on="status_stream", times=None),
        Fault.stall(LONG, on="status_stream", times=None, taken=False),
        Fault.stall(LONG, on="status_stream", times=None, where="body"),
        Fault.drip(0.05, on="status_stream", times=None),
    ],
    ids=["never answers", "never answers, not taken", "stalls", "drips"],
)
async def test_a_silent_status_stream_is_replaced_by_polls(emulator: Emulator, fault: Fault) -> None:
    gate = gate_at(emulator)
    emulator.faults.add(fault)
    async with session_on(emulator) as fal:
        request_id = (await fal.queue.submit(GATE, {"n": 1})).request_id
        hasty = fal.with_options(timeout=Timeouts(connect=1, first_byte=0.3, stream=0.4))
        asked = asyncio.create_task(hasty.queue.handle(GATE, request_id).wait(mode="streaming"))
        await emulator.wait_for("status")
        gate.open()
        assert (await asked).data == {"n": 1}
