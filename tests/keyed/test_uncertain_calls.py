"""Keyed calls whose submit was interrupted: the request is found in fal's history, reported, or submitted again."""

from __future__ import annotations

import asyncio

import pytest

from fal_async import (
    PermissionDeniedError,
    Result,
    ResultExpiredError,
    ServerError,
    Session,
    SubmissionUncertainError,
)
from fal_async.emulator import Emulator, Fault
from fal_async.ledger.opening import Where
from tests.keyed.entries import age_requests
from tests.quick import ASK, GATE, LLM, gate_at, session_on


async def test_an_interrupted_submit_that_fal_accepted_is_found_and_followed(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    result = await fal.subscribe(LLM, ASK, key="a")
    assert [result.request_id] == list(emulator.jobs)
    assert emulator.count("submit") == 1
    assert (await fal.subscribe(LLM, ASK, key="a")).from_ledger


async def test_a_submit_absent_from_the_history_stays_uncertain_and_is_not_submitted_again(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=False))
    for _ in range(2):
        with pytest.raises(SubmissionUncertainError, match="may not have caught up") as caught:
            await fal.subscribe(LLM, ASK, key="order-42")
        assert caught.value.key == caught.value.to_dict()["key"] == "order-42"
        assert "ledger.resolve('order-42', request_id=...)" in str(caught.value)
    assert emulator.count("submit") == 1


async def test_a_submit_that_the_history_shows_later_is_found_by_the_next_call(
    fal: Session, emulator: Emulator
) -> None:
    emulator.history.lag = 3_600.0
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    with pytest.raises(SubmissionUncertainError):
        await fal.subscribe(LLM, ASK, key="a")
    emulator.history.lag = 0.0
    assert (await fal.subscribe(LLM, ASK, key="a")).data["output"]
    assert emulator.count("submit") == 1


async def test_uncertain_report_does_not_read_the_history(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    for _ in range(2):
        with pytest.raises(SubmissionUncertainError):
            await fal.subscribe(LLM, ASK, key="a", uncertain="report")
    assert emulator.count("platform") == 0
    assert (await fal.subscribe(LLM, ASK, key="a")).data["output"]
    assert emulator.count("submit") == 1


async def test_uncertain_resubmit_looks_the_request_up_before_it_submits(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    await fal.subscribe(LLM, ASK, key="a", uncertain="resubmit")
    assert emulator.count("submit") == 1


async def test_uncertain_resubmit_does_not_submit_while_the_history_may_lag(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=False))
    with pytest.raises(SubmissionUncertainError, match="may not have caught up"):
        await fal.subscribe(LLM, ASK, key="a", uncertain="resubmit")
    emulator.history.clock_ahead = 0.0
    assert emulator.count("submit") == 1


async def test_uncertain_resubmit_submits_again_if_the_history_proves_the_request_absent(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=False))
    with pytest.raises(SubmissionUncertainError):
        await fal.subscribe(LLM, ASK, key="a")
    await age_requests(runs, seconds=3_600)
    result = await fal.subscribe(LLM, ASK, key="a", uncertain="resubmit")
    assert result.data["output"]
    assert emulator.count("submit") == 2
    assert len(emulator.jobs) == 1


async def test_a_refused_look_up_is_the_cause_of_the_error(fal: Session, emulator: Emulator) -> None:
    emulator.history.permitted = False
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    with pytest.raises(SubmissionUncertainError, match="may not read requests") as caught:
        await fal.subscribe(LLM, ASK, key="a", uncertain="resubmit")
    assert isinstance(caught.value.__cause__, PermissionDeniedError)
    assert emulator.count("submit") == 1


async def test_a_submit_with_store_io_false_is_not_looked_up(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    with pytest.raises(SubmissionUncertainError, match="store_io=False"):
        await fal.subscribe(LLM, ASK, key="a", uncertain="resubmit", store_io=False)
    assert emulator.count("platform") == 0


async def test_equal_inputs_under_several_keys_each_get_their_own_request(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True, times=3))
    results = await asyncio.gather(
        *(fal.subscribe(LLM, ASK, key=key) for key in "abc"), return_exceptions=True
    )
    # An entry may stay uncertain if it is looked up while another call submits the same input.
    again = [await fal.subscribe(LLM, ASK, key=key) for key in "abc"]
    assert {result.request_id for result in again} == set(emulator.jobs)
    assert all(isinstance(one, Result | SubmissionUncertainError) for one in results)
    assert emulator.count("submit") == 3


# An expired result.


async def left_by_another(emulator: Emulator, runs: Where) -> str:
    """Leave a completed request with the key "a" and an expired result; return its id."""
    gate = gate_at(emulator)
    async with session_on(emulator, ledger=runs) as first:
        handle = await first.queue.submit(GATE, {"n": 1}, key="a")
    gate.open()
    job = emulator.jobs[handle.request_id]
    await job.wait_for("COMPLETED")
    assert job.completed_at is not None
    job.completed_at -= 7_200
    await age_requests(runs, seconds=7_200)
    return handle.request_id


async def test_an_expired_result_is_read_from_the_history_and_stored(emulator: Emulator, runs: Where) -> None:
    request_id = await left_by_another(emulator, runs)
    async with session_on(emulator, ledger=runs) as fal:
        result = await fal.subscribe(GATE, {"n": 1}, key="a")
        assert (result.data, result.request_id) == ({"n": 1}, request_id)
        assert (await fal.subscribe(GATE, {"n": 1}, key="a")).data == {"n": 1}
    assert emulator.count("submit") == 1


async def test_an_expired_result_fetched_by_its_id_is_read_from_the_history_and_stored(
    emulator: Emulator, runs: Where
) -> None:
    request_id = await left_by_another(emulator, runs)
    async with session_on(emulator, ledger=runs) as fal:
        assert (await fal.queue.result(GATE, request_id)).data == {"n": 1}
        assert (await fal.subscribe(GATE, {"n": 1}, key="a")).from_ledger


@pytest.mark.parametrize("how", ["payloads", "permitted"])
async def test_an_expired_result_absent_from_the_history_raises_on_every_call(
    emulator: Emulator, runs: Where, how: str
) -> None:
    request_id = await left_by_another(emulator, runs)
    setattr(emulator.history, how, False)
    async with session_on(emulator, ledger=runs) as fal:
        for _ in range(2):
            with pytest.raises(ResultExpiredError) as caught:
                await fal.subscribe(GATE, {"n": 1}, key="a")
            assert caught.value.request_id == request_id
    assert emulator.count("submit") == 1


async def test_an_expired_result_is_read_by_the_next_call_if_the_history_was_down(
    emulator: Emulator, runs: Where
) -> None:
    await left_by_another(emulator, runs)
    async with session_on(emulator, ledger=runs) as fal:
        fault = Fault.answer(500, on="platform", times=None)
        emulator.faults.add(fault)
        with pytest.raises(ServerError):
            await fal.subscribe(GATE, {"n": 1}, key="a")
        emulator.faults.clear()
        assert (await fal.subscribe(GATE, {"n": 1}, key="a")).data == {"n": 1}
