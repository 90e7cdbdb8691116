"""A call with a key whose submit broke: found in fal's history, reported, or submitted again."""

from __future__ import annotations

import asyncio
from pathlib import Path

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
from tests.keyed.entries import age_requests
from tests.quick import ASK, GATE, LLM, gate_at, session_on


async def test_a_submit_that_was_taken_is_found_and_followed(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    result = await fal.subscribe(LLM, ASK, key="a")
    assert [result.request_id] == list(emulator.jobs)
    assert emulator.count("submit") == 1
    assert (await fal.subscribe(LLM, ASK, key="a")).from_ledger


async def test_one_that_is_not_shown_stays_uncertain_and_is_never_submitted_again(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=False))
    for _ in range(2):
        with pytest.raises(SubmissionUncertainError, match="may not have caught up") as caught:
            await fal.subscribe(LLM, ASK, key="order-42")
        assert caught.value.key == caught.value.to_dict()["key"] == "order-42"
        assert "ledger.resolve('order-42', request_id=...)" in str(caught.value)
    assert emulator.count("submit") == 1


async def test_one_that_the_history_shows_later_is_found_by_the_next_call(
    fal: Session, emulator: Emulator
) -> None:
    emulator.history.lag = 3_600.0
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    with pytest.raises(SubmissionUncertainError):
        await fal.subscribe(LLM, ASK, key="a")
    emulator.history.lag = 0.0
    assert (await fal.subscribe(LLM, ASK, key="a")).data["output"]
    assert emulator.count("submit") == 1


async def test_with_report_nothing_is_asked(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    for _ in range(2):
        with pytest.raises(SubmissionUncertainError):
            await fal.subscribe(LLM, ASK, key="a", uncertain="report")
    assert emulator.count("platform") == 0
    assert (await fal.subscribe(LLM, ASK, key="a")).data["output"]
    assert emulator.count("submit") == 1


async def test_resubmit_finds_before_it_submits(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    await fal.subscribe(LLM, ASK, key="a", uncertain="resubmit")
    assert emulator.count("submit") == 1


async def test_resubmit_waits_for_a_history_that_has_caught_up(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=False))
    with pytest.raises(SubmissionUncertainError, match="may not have caught up"):
        await fal.subscribe(LLM, ASK, key="a", uncertain="resubmit")
    emulator.history.clock_ahead = 0.0
    assert emulator.count("submit") == 1


async def test_resubmit_submits_what_the_history_surely_does_not_have(
    fal: Session, emulator: Emulator, runs: Path
) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=False))
    with pytest.raises(SubmissionUncertainError):
        await fal.subscribe(LLM, ASK, key="a")
    age_requests(runs, seconds=3_600)
    result = await fal.subscribe(LLM, ASK, key="a", uncertain="resubmit")
    assert result.data["output"]
    assert emulator.count("submit") == 2
    assert len(emulator.jobs) == 1


async def test_a_refused_look_up_is_the_cause(fal: Session, emulator: Emulator) -> None:
    emulator.history.permitted = False
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    with pytest.raises(SubmissionUncertainError, match="may not read requests") as caught:
        await fal.subscribe(LLM, ASK, key="a", uncertain="resubmit")
    assert isinstance(caught.value.__cause__, PermissionDeniedError)
    assert emulator.count("submit") == 1


async def test_an_input_that_is_not_stored_is_not_looked_for(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    with pytest.raises(SubmissionUncertainError, match="store_io=False"):
        await fal.subscribe(LLM, ASK, key="a", uncertain="resubmit", store_io=False)
    assert emulator.count("platform") == 0


async def test_equal_inputs_under_several_keys_each_get_a_request_of_their_own(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True, times=3))
    results = await asyncio.gather(
        *(fal.subscribe(LLM, ASK, key=key) for key in "abc"), return_exceptions=True
    )
    # Those that are looked for while another one is still being submitted may stay uncertain.
    again = [await fal.subscribe(LLM, ASK, key=key) for key in "abc"]
    assert {result.request_id for result in again} == set(emulator.jobs)
    assert all(isinstance(one, Result | SubmissionUncertainError) for one in results)
    assert emulator.count("submit") == 3


# A result that is gone.


async def left_by_another(emulator: Emulator, runs: Path) -> str:
    """A request with the key "a" that a session left; it has ended, and its result has expired."""
    gate = gate_at(emulator)
    async with session_on(emulator, ledger=runs) as first:
        handle = await first.queue.submit(GATE, {"n": 1}, key="a")
    gate.open()
    job = emulator.jobs[handle.request_id]
    await job.wait_for("COMPLETED")
    assert job.completed_at is not None
    job.completed_at -= 7_200
    age_requests(runs, seconds=7_200)
    return handle.request_id


async def test_a_result_that_is_gone_is_taken_out_of_the_history(emulator: Emulator, runs: Path) -> None:
    request_id = await left_by_another(emulator, runs)
    async with session_on(emulator, ledger=runs) as fal:
        result = await fal.subscribe(GATE, {"n": 1}, key="a")
        assert (result.data, result.request_id) == ({"n": 1}, request_id)
        assert (await fal.subscribe(GATE, {"n": 1}, key="a")).data == {"n": 1}
    assert emulator.count("submit") == 1


async def test_by_its_id_it_is_taken_out_of_the_history_and_stored(emulator: Emulator, runs: Path) -> None:
    request_id = await left_by_another(emulator, runs)
    async with session_on(emulator, ledger=runs) as fal:
        assert (await fal.queue.result(GATE, request_id)).data == {"n": 1}
        assert (await fal.subscribe(GATE, {"n": 1}, key="a")).from_ledger


@pytest.mark.parametrize("how", ["payloads", "permitted"])
async def test_one_that_is_not_in_the_history_either_is_expired_for_good(
    emulator: Emulator, runs: Path, how: str
) -> None:
    request_id = await left_by_another(emulator, runs)
    setattr(emulator.history, how, False)
    async with session_on(emulator, ledger=runs) as fal:
        for _ in range(2):
            with pytest.raises(ResultExpiredError) as caught:
                await fal.subscribe(GATE, {"n": 1}, key="a")
            assert caught.value.request_id == request_id
    assert emulator.count("submit") == 1


async def test_a_history_that_is_down_leaves_it_for_the_next_call(emulator: Emulator, runs: Path) -> None:
    await left_by_another(emulator, runs)
    async with session_on(emulator, ledger=runs) as fal:
        fault = Fault.answer(500, on="platform", times=None)
        emulator.faults.add(fault)
        with pytest.raises(ServerError):
            await fal.subscribe(GATE, {"n": 1}, key="a")
        emulator.faults.clear()
        assert (await fal.subscribe(GATE, {"n": 1}, key="a")).data == {"n": 1}
