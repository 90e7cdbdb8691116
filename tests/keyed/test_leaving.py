"""A caller that leaves affects no other caller; closing the session leaves requests running and resolves claims."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fal_async import (
    CancelOutcome,
    ClientTimeoutError,
    Session,
    SessionStateError,
    SubmissionUncertainError,
)
from fal_async.emulator import Emulator, Fault
from fal_async.ledger.opening import Where
from tests.keyed.entries import state_of
from tests.quick import ASK, GATE, LLM, Noted, gate_at, quick, session_on


async def test_cancelling_a_call_at_each_step_loses_no_request(emulator: Emulator, runs: Where) -> None:
    async with session_on(emulator, ledger=runs) as fal:
        await fal.subscribe(LLM, ASK, key="warm")
        for steps in range(60):
            key = f"k{steps}"
            task = asyncio.create_task(fal.subscribe(LLM, ASK, key=key))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await asyncio.gather(*(fal.subscribe(LLM, ASK, key=f"k{steps}") for steps in range(60)))
    assert len(emulator.jobs) == 61
    assert emulator.count("cancel") == 0


async def test_the_next_call_gets_a_result_although_an_earlier_caller_cancelled_on_exit(
    fal: Session, emulator: Emulator
) -> None:
    @emulator.endpoint("me/echo")
    async def echo(input: Any) -> Any:
        return input

    await fal.subscribe("me/echo", ASK, key="warm")
    for steps in range(0, 60, 4):
        first = asyncio.create_task(fal.subscribe("me/echo", ASK, key=f"k{steps}", cancel_on_exit=True))
        for _ in range(steps):
            await asyncio.sleep(0)
        first.cancel()
        for _ in range(steps % 7):
            await asyncio.sleep(0)
        assert (await fal.subscribe("me/echo", ASK, key=f"k{steps}")).data == ASK
        await asyncio.gather(first, return_exceptions=True)


async def test_only_the_last_caller_with_cancel_on_exit_cancels_the_request(
    fal: Session, emulator: Emulator
) -> None:
    gate_at(emulator)
    tasks = [asyncio.create_task(fal.subscribe(GATE, ASK, key="a", cancel_on_exit=True)) for _ in range(2)]
    await emulator.wait_for("status")
    for count, task in enumerate(tasks):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert emulator.count("cancel") == count


async def test_a_request_continues_if_one_caller_has_left_without_cancel_on_exit(
    fal: Session, emulator: Emulator
) -> None:
    gate = gate_at(emulator)
    await fal.queue.submit(GATE, ASK, key="a")
    for cancel_on_exit in (None, True):
        with pytest.raises(ClientTimeoutError, match="the request continues"):
            await fal.subscribe(GATE, ASK, key="a", timeout=0.5, cancel_on_exit=cancel_on_exit)
    assert emulator.count("cancel") == 0
    gate.open()
    await fal.subscribe(GATE, ASK, key="a")
    assert len(emulator.jobs) == 1


async def test_a_time_limit_with_cancel_on_exit_reports_the_outcome_of_the_cancellation(
    fal: Session, emulator: Emulator
) -> None:
    gate_at(emulator)
    await fal.queue.submit(GATE, ASK, key="a")
    with pytest.raises(ClientTimeoutError) as caught:
        await fal.subscribe(GATE, ASK, key="a", timeout=1, cancel_on_exit=True)
    assert caught.value.cancel_outcome in (CancelOutcome.CANCELLED, CancelOutcome.CANCELLATION_REQUESTED)
    assert emulator.count("cancel") == 1


# Closing the session.


async def closed_while(fal: Session, task: asyncio.Task[object]) -> SessionStateError:
    await fal.aclose()
    with pytest.raises(SessionStateError) as caught:
        await task
    return caught.value


async def test_closing_the_session_leaves_a_running_request_to_the_next_session(
    emulator: Emulator, runs: Where
) -> None:
    gate = gate_at(emulator)
    async with session_on(emulator, ledger=runs) as fal:
        task = asyncio.create_task(fal.subscribe(GATE, ASK, key="a"))
        await emulator.wait_for("status")
        error = await closed_while(fal, task)
    assert "the request continues" in str(error)
    assert error.request_id in emulator.jobs
    assert emulator.count("cancel") == 0
    async with session_on(emulator, ledger=runs) as fal:
        assert await state_of(fal, runs) == "submitted"
        gate.open()
        assert (await fal.subscribe(GATE, ASK, key="a")).request_id == error.request_id
    assert len(emulator.jobs) == 1


async def test_closing_the_session_waits_for_the_id_of_a_running_submit(
    emulator: Emulator, runs: Where
) -> None:
    gate = gate_at(emulator)
    emulator.faults.add(Fault.stall(0.3, on="submit"))
    async with session_on(emulator, ledger=runs) as fal:
        task = asyncio.create_task(fal.subscribe(GATE, ASK, key="a"))
        await emulator.wait_for("submit")
        error = await closed_while(fal, task)
        assert error.request_id in emulator.jobs
    async with session_on(emulator, ledger=runs) as fal:
        gate.open()
        await fal.subscribe(GATE, ASK, key="a")
    assert len(emulator.jobs) == 1


async def test_a_submit_without_a_response_is_uncertain_after_closing_or_a_time_limit(
    emulator: Emulator, runs: Where
) -> None:
    async with session_on(emulator, ledger=runs) as fal, session_on(emulator, ledger=runs) as other:
        for one in (fal, other):
            await one.queue.submit(
                LLM, ASK, key="first"
            )  # opens the ledger, which may take longer than `timeout`
        emulator.faults.add(Fault.stall(30, on="submit", times=2))
        before = emulator.count("submit")
        task = asyncio.create_task(fal.subscribe(LLM, ASK, key="a"))
        too_slow = asyncio.create_task(other.subscribe(LLM, ASK, key="b", cancel_on_exit=True, timeout=1.5))
        await emulator.wait_for("submit", before + 2)
        closed = await closed_while(fal, task)
        assert "fal may have the request" in str(closed)
        assert isinstance(closed.__cause__, SubmissionUncertainError)
        with pytest.raises(ClientTimeoutError, match="may still run") as caught:
            await too_slow
        assert caught.value.cancel_outcome is CancelOutcome.FAILED
        assert [await state_of(other, runs, key) for key in "ab"] == ["uncertain"] * 2


async def test_closing_the_session_before_a_submit_is_sent_leaves_no_entry(
    emulator: Emulator, runs: Where
) -> None:
    noted = Noted()
    async with session_on(emulator, ledger=runs, retry=quick(on_retry=noted)) as fal:
        emulator.faults.add(Fault.answer(429, on="submit", retry_after=30))
        task = asyncio.create_task(fal.subscribe(LLM, ASK, key="a"))
        await noted.first.wait()
        error = await closed_while(fal, task)
        assert "before" in str(error)
        assert await state_of(fal, runs) is None
    assert len(emulator.jobs) == 0


async def test_a_closed_session_refuses_keyed_calls(emulator: Emulator, runs: Where) -> None:
    async with session_on(emulator, ledger=runs) as fal:
        await fal.subscribe(LLM, ASK, key="a")
    with pytest.raises(SessionStateError):
        await fal.subscribe(LLM, ASK, key="a")


async def test_closing_the_session_at_each_step_of_a_call_leaves_no_open_claim(
    emulator: Emulator, runs: Where
) -> None:
    for steps in range(0, 40, 3):
        async with session_on(emulator, ledger=runs) as fal:
            task = asyncio.create_task(fal.subscribe(LLM, ASK, key=f"k{steps}"))
            for _ in range(steps):
                await asyncio.sleep(0)
            await fal.aclose()
            await asyncio.gather(task, return_exceptions=True)
            assert await state_of(fal, runs, f"k{steps}") in (None, "submitted", "done")
    async with session_on(emulator, ledger=runs) as fal:
        for steps in range(0, 40, 3):
            await fal.subscribe(LLM, ASK, key=f"k{steps}")
    assert len(emulator.jobs) == 14
