"""What the next call with a key does after each outcome of the call before, over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from fal_async import (
    ApiError,
    CancelOutcome,
    ClientTimeoutError,
    Completed,
    FalError,
    QueueStatus,
    RequestCancelledError,
    RequestFailedError,
    ResultExpiredError,
    ServerError,
    Session,
    SubmissionUncertainError,
    TransportError,
    ValidationError,
)
from fal_async.emulator import Emulator, Fault, ModelError
from fal_async.ledger.opening import Where, open_store
from fal_async.ledger.store import NewClaim
from fal_async.protocol.ledger.digests import input_digest
from fal_async.protocol.ledger.entry import Place
from fal_async.protocol.ledger.key_checks import space_of
from tests.keyed.entries import age_requests, entry_of, state_of
from tests.quick import ASK, GATE, LLM, ONCE, gate_at, quick, session_on

MODEL = "me/model"
PLAIN = {"content-type": "text/plain"}


async def failing(fal: Session, kind: type[FalError], endpoint_id: str = LLM, **options: Any) -> Any:
    with pytest.raises(kind) as caught:
        await fal.subscribe(endpoint_id, ASK, key="a", **options)
    return caught.value


# Before fal has accepted the request.


@pytest.mark.parametrize("status", [400, 401, 422, 500])
async def test_an_error_response_to_the_submit_withdraws_the_claim(
    fal: Session, emulator: Emulator, runs: Where, status: int
) -> None:
    emulator.faults.add(Fault.answer(status, on="submit"))
    await failing(fal, ApiError)
    assert await entry_of(fal, runs) is None
    assert not (await fal.subscribe(LLM, ASK, key="a")).from_ledger
    assert len(emulator.jobs) == 1


async def test_a_submit_that_was_not_sent_withdraws_the_claim(emulator: Emulator, runs: Where) -> None:
    async with session_on(emulator, ledger=runs, retry=ONCE) as fal:
        await emulator.pause()
        await failing(fal, TransportError)
        await emulator.resume()
        assert await entry_of(fal, runs) is None
        assert not (await fal.subscribe(LLM, ASK, key="a")).from_ledger


async def test_a_retried_refusal_of_a_submit_stores_only_one_attempt(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    emulator.faults.add(Fault.answer(429, on="submit", times=2))
    await fal.subscribe(LLM, ASK, key="a")
    record = await entry_of(fal, runs)
    assert record is not None
    assert (record.state, record.attempts, len(record.requests)) == ("done", 1, 1)
    assert len(emulator.jobs) == 1


async def test_a_submit_that_fal_may_have_accepted_is_uncertain_and_not_sent_again(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    for _ in range(2):
        error = await failing(fal, SubmissionUncertainError, uncertain="report")
        assert error.endpoint_id == LLM
        assert await state_of(fal, runs) == "uncertain"
    assert len(emulator.jobs) == 1


# After fal has accepted the request.


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (ModelError(422, [{"loc": ["body", "prompt"], "msg": "no", "type": "x"}]), ValidationError),
        (ModelError(400, "no", "bad_request"), ApiError),
    ],
)
async def test_a_final_error_of_the_model_is_replayed_by_the_next_call(
    fal: Session, emulator: Emulator, runs: Where, failure: ModelError, kind: type[FalError]
) -> None:
    @emulator.endpoint(MODEL)
    async def model(_: Any) -> Any:
        raise failure

    errors = [await failing(fal, kind, MODEL) for _ in range(2)]
    assert str(errors[0]) == str(errors[1])
    record = await entry_of(fal, runs)
    assert record is not None
    assert (record.state, record.final, len(emulator.jobs)) == ("failed", True, 1)


async def test_the_next_call_after_a_failure_that_is_not_final_makes_a_further_attempt(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    failures = [ModelError(500, "gpu", "downstream_service_error")]

    @emulator.endpoint(MODEL)
    async def model(_: Any) -> Any:
        if failures:
            raise failures.pop()
        return {"ok": True}

    await failing(fal, ServerError, MODEL)
    assert await state_of(fal, runs) == "failed"
    result = await fal.subscribe(MODEL, ASK, key="a")
    assert (result.data, result.from_ledger) == ({"ok": True}, False)
    record = await entry_of(fal, runs)
    assert record is not None
    assert (record.state, record.attempts) == ("done", 2)
    assert [request.outcome for request in record.requests] == ["failed", "done"]


async def test_a_failed_request_without_an_error_body_is_not_final(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    emulator.faults.add(Fault.replace({"error": "boom"}, on="status", times=None))
    emulator.faults.add(Fault.answer(500, on="result", detail="", times=None))
    error = await failing(fal, FalError)
    assert isinstance(error, RequestFailedError | ServerError)
    record = await entry_of(fal, runs)
    assert record is not None
    assert (record.state, record.final) == ("failed", False)


@pytest.mark.parametrize(
    "faults",
    [
        [Fault.answer(499, on="status")],
        [Fault.answer(499, on="status", fal_headers=False, headers=PLAIN, body="gone")],
        [Fault.answer(499, on="result", fal_headers=False, headers=PLAIN, body="gone")],
        [Fault.answer(422, on="result", fal_headers=False, headers=PLAIN, body="blocked")],
        [Fault.vanish(on="status", times=3), Fault.vanish(on="platform")],
        [Fault.answer(404, on="result", body='{"message": "no route"}'), Fault.vanish(on="platform")],
    ],
)
async def test_after_an_error_that_is_not_the_outcome_the_next_call_follows_the_request(
    fal: Session, emulator: Emulator, runs: Where, faults: list[Fault]
) -> None:
    for fault in faults:
        emulator.faults.add(fault)
    await failing(fal, FalError)
    assert await state_of(fal, runs) == "submitted"
    emulator.faults.clear()
    assert not (await fal.subscribe(LLM, ASK, key="a")).from_ledger
    assert len(emulator.jobs) == 1


async def test_the_next_call_after_a_cancelled_request_makes_a_further_attempt(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    gate = gate_at(emulator)
    other = asyncio.create_task(fal.subscribe(GATE, {"n": 0}))
    await emulator.wait_for("submit")
    task = asyncio.create_task(fal.subscribe(GATE, ASK, key="a"))
    handle = await fal.queue.submit(GATE, ASK, key="a")
    outcome = await fal.queue.cancel(GATE, handle.request_id)
    assert outcome in (CancelOutcome.CANCELLED, CancelOutcome.CANCELLATION_REQUESTED)
    with pytest.raises(RequestCancelledError):
        await task
    assert await state_of(fal, runs) == "cancelled"
    gate.open()
    assert not (await fal.subscribe(GATE, ASK, key="a")).from_ledger
    assert len(emulator.jobs) == 3
    await other


@pytest.mark.parametrize("status", [401, 403])
async def test_an_api_key_refused_while_following_leaves_the_request_submitted(
    fal: Session, emulator: Emulator, runs: Where, status: int
) -> None:
    emulator.faults.add(Fault.answer(status, on="status"))
    await failing(fal, ApiError)
    assert await state_of(fal, runs) == "submitted"
    result = await fal.subscribe(LLM, ASK, key="a")
    assert (result.from_ledger, len(emulator.jobs)) == (False, 1)
    assert await state_of(fal, runs) == "done"


async def test_an_outage_while_following_leaves_the_request_submitted(
    emulator: Emulator, runs: Where
) -> None:
    gate = gate_at(emulator)
    async with session_on(emulator, ledger=runs, retry=quick(outage=0.05)) as fal:
        emulator.faults.add(Fault.reset(on="status", times=None))
        await failing(fal, TransportError, GATE)
        assert await state_of(fal, runs) == "submitted"
        emulator.faults.clear()
        gate.open()
        await fal.subscribe(GATE, ASK, key="a")
    assert len(emulator.jobs) == 1


async def test_a_request_with_an_expired_result_is_never_submitted_again(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    emulator.faults.add(Fault.vanish(on="result", times=2))
    for _ in range(3):
        await failing(fal, ResultExpiredError, store_io=False)  # so the history does not have it, either
        await age_requests(runs, seconds=360)
    record = await entry_of(fal, runs)
    assert record is not None
    assert (record.state, record.final, len(emulator.jobs)) == ("failed", True, 1)


@pytest.mark.parametrize("is_done", [False, True])
async def test_a_refused_cancel_stores_the_result_only_if_the_request_is_complete(
    fal: Session, emulator: Emulator, runs: Where, is_done: bool
) -> None:
    gate = gate_at(emulator)
    handle = await fal.queue.submit(GATE, ASK, key="a")
    job = emulator.jobs[handle.request_id]
    if is_done:
        gate.open()
    await job.wait_for("COMPLETED" if is_done else "IN_PROGRESS", timeout=5)
    emulator.faults.add(Fault.answer(400, on="cancel", detail="It runs or is done"))
    assert await handle.cancel() is CancelOutcome.REFUSED
    assert await state_of(fal, runs) == ("done" if is_done else "submitted")
    gate.open()
    assert (await fal.subscribe(GATE, ASK, key="a")).from_ledger == is_done
    assert len(emulator.jobs) == 1


async def test_a_refused_cancel_leaves_the_request_of_a_key_submitted_and_its_callers_waiting(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    gate = gate_at(emulator)
    task = asyncio.create_task(fal.subscribe(GATE, ASK, key="a"))
    handle = await fal.queue.submit(GATE, ASK, key="a")
    emulator.faults.add(Fault.answer(400, on="cancel", detail="It runs already", times=None))
    assert await handle.cancel() is CancelOutcome.REFUSED
    assert await state_of(fal, runs) == "submitted"
    gate.open()
    assert (await task).request_id == handle.request_id
    assert (await state_of(fal, runs), len(emulator.jobs)) == ("done", 1)


# Handles.


async def test_cancelling_a_completed_request_by_its_handle_stores_its_result(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    handle = await fal.queue.submit(LLM, ASK, key="a")
    assert await state_of(fal, runs) == "submitted"
    await emulator.jobs[handle.request_id].wait_for("COMPLETED", timeout=5)
    assert await handle.cancel() is CancelOutcome.ALREADY_COMPLETED
    assert await state_of(fal, runs) == "done"
    assert (await fal.subscribe(LLM, ASK, key="a")).from_ledger


async def test_a_result_fetched_by_a_handle_is_stored_in_the_ledger(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    handle = await fal.queue.submit(LLM, ASK, key="a")
    await emulator.jobs[handle.request_id].wait_for("COMPLETED", timeout=5)
    first = await fal.queue.result(LLM, handle.request_id)
    assert (first.from_ledger, await state_of(fal, runs)) == (False, "done")
    for second in (
        await handle.result(),
        await handle.wait(),
        await fal.queue.result(LLM, handle.request_id),
    ):
        assert (second.from_ledger, second.data) == (True, first.data)
    assert emulator.count("result") == 1


async def test_fetching_a_result_before_the_request_is_complete_leaves_the_entry_submitted(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    gate = gate_at(emulator)
    handle = await fal.queue.submit(GATE, ASK, key="a")
    with pytest.raises(ApiError):
        await handle.result()
    assert await state_of(fal, runs) == "submitted"
    gate.open()
    assert (await handle.wait()).data == ASK
    assert await state_of(fal, runs) == "done"


async def test_the_time_limit_of_a_handle_leaves_the_request_running(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    gate = gate_at(emulator)
    handle = await fal.queue.submit(GATE, ASK, key="a")
    with pytest.raises(ClientTimeoutError, match="the request continues"):
        await handle.wait(timeout=0.5)
    gate.open()
    assert (await fal.subscribe(GATE, ASK, key="a")).request_id == handle.request_id
    assert (len(emulator.jobs), emulator.count("cancel")) == (1, 0)


async def test_concurrent_submits_with_one_key_return_the_same_request(
    fal: Session, emulator: Emulator
) -> None:
    handles = await asyncio.gather(*(fal.submit(LLM, ASK, key="a") for _ in range(5)))
    assert len({handle.request_id for handle in handles}) == 1
    result = await handles[0].wait()
    again = await fal.submit(LLM, ASK, key="a")
    assert (await again.wait()).data == result.data
    assert len(emulator.jobs) == 1


async def test_the_handle_of_an_older_attempt_stores_the_outcome_of_that_attempt(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    gate = gate_at(emulator)
    older, newer = [(await fal.queue.submit(GATE, ASK)).request_id for _ in range(2)]
    store = await open_store(runs)
    claim = NewClaim(
        place=Place(space=space_of(fal.settings.hosts, tenant="", run=""), key="a"),
        endpoint_id=GATE,
        input_digest=input_digest(ASK),
        body_digest=input_digest(ASK),
        seen=None,
        claimed_at=1.0,
        claimed_until=2.0,
    )
    first = await store.claim(claim)
    assert first is not None
    await store.uncertain(first, 2.0)
    before = await store.find(claim.place)
    assert before is not None
    second = await store.claim(attrs.evolve(claim, seen=before.version))
    assert second is not None
    await store.submitted(second, newer, 3.0)
    await store.submitted(first, older, 4.0)
    await store.aclose()

    handle = fal.queue.handle(GATE, older)
    with pytest.raises(ClientTimeoutError, match="was not cancelled"):
        await handle.wait(timeout=0.1)
    gate.open()
    seen: list[QueueStatus] = []
    assert (await handle.wait(on_queue_update=seen.append)).data == ASK
    assert isinstance(seen[-1], Completed)
    record = await entry_of(fal, runs)
    assert record is not None
    assert (record.state, record.request_id) == ("done", older)
    assert (await fal.subscribe(GATE, ASK, key="a")).request_id == older
    assert (emulator.count("submit"), emulator.count("cancel")) == (2, 0)
