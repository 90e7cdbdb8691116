"""Claims of other sessions, or of processes that are gone: when a call waits, looks up, or submits."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from fal_async import Session, SubmissionUncertainError
from fal_async.emulator import Emulator, Fault
from fal_async.ledger.opening import Where, open_store
from fal_async.ledger.store import Hold, NewClaim, Store
from fal_async.protocol.json_input import encode_json
from fal_async.protocol.ledger.digests import body_digest, input_digest
from fal_async.protocol.ledger.entry import End, Payload, Place
from fal_async.protocol.ledger.key_checks import space_of
from tests.keyed.entries import entry_of, state_of
from tests.keyed.failing_store import FailingStore
from tests.quick import ASK, LLM, session_on

DONE = End(state="done", outcome="done", at=1.0, payload=Payload(content_type="application/json", body=b"{}"))


async def claimed(store: Store, fal: Session, budget: float, key: str = "a") -> Hold:
    now = time.time()
    hold = await store.claim(
        NewClaim(
            place=Place(space=space_of(fal.settings.hosts), key=key),
            endpoint_id=LLM,
            input_digest=input_digest(ASK),
            body_digest=body_digest(encode_json(ASK)),
            seen=None,
            claimed_at=now,
            claimed_until=now + budget,
        )
    )
    assert hold is not None
    return hold


async def test_a_call_waits_for_the_submit_of_another_session_and_follows_its_request(
    emulator: Emulator, runs: Where
) -> None:
    emulator.faults.add(Fault.stall(0.3, on="submit"))
    async with session_on(emulator, ledger=runs) as one, session_on(emulator, ledger=runs) as other:
        first = asyncio.create_task(one.subscribe(LLM, ASK, key="a"))
        await emulator.wait_for("submit")
        second = await other.subscribe(LLM, ASK, key="a")
        assert (await first).data == second.data
    assert len(emulator.jobs) == 1


async def test_a_call_waits_for_an_unresolved_claim_no_longer_than_its_budget(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    store = await open_store(runs)
    await claimed(store, fal, 0.2)
    with pytest.raises(SubmissionUncertainError, match=r"process [0-9]+ on "):
        await fal.subscribe(LLM, ASK, key="a")
    await store.aclose()
    assert emulator.count("submit") == 0


async def test_a_call_submits_after_the_claim_that_it_waited_for_is_withdrawn(
    emulator: Emulator, runs: Where
) -> None:
    store = await open_store(runs)
    ledger: Any = FailingStore(await open_store(runs))
    async with session_on(emulator, ledger=ledger) as fal:
        hold = await claimed(store, fal, 30)
        task = asyncio.create_task(fal.subscribe(LLM, ASK, key="a"))
        while ledger.calls.count("find") < 2:  # it has seen the claim, and checks it again
            await asyncio.sleep(0.01)
        await store.withdraw(hold)
        await task
    for one in (store, ledger):
        await one.aclose()
    assert len(emulator.jobs) == 1


async def test_a_request_that_another_process_completes_between_two_checks_has_its_id(
    emulator: Emulator, runs: Where
) -> None:
    store = await open_store(runs)
    ledger: Any = FailingStore(await open_store(runs))
    enqueued: list[str] = []
    async with session_on(emulator, ledger=ledger) as fal:
        hold = await claimed(store, fal, 30)
        waiting = asyncio.gather(
            fal.queue.submit(LLM, ASK, key="a"), fal.subscribe(LLM, ASK, key="a", on_enqueue=enqueued.append)
        )
        while ledger.calls.count("find") < 3:  # both have seen the claim
            await asyncio.sleep(0.01)
        ledger.gates["find"] = asyncio.Event()  # so that no check runs between the two writes
        await store.spaces()  # returns after the checks that are already running
        await store.submitted(hold, "id-1", time.time())
        await store.end(hold.entry, "id-1", DONE)
        ledger.gates["find"].set()
        handle, result = await waiting
    for one in (store, ledger):
        await one.aclose()
    assert (handle.request_id, result.request_id, enqueued) == ("id-1", "id-1", ["id-1"])
    assert emulator.count() == 0


async def test_the_claim_of_an_owner_that_has_closed_is_uncertain(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    store = await open_store(runs)
    await claimed(store, fal, 30)
    await store.aclose()
    assert await state_of(fal, runs) == "uncertain"
    with pytest.raises(SubmissionUncertainError):
        await fal.subscribe(LLM, ASK, key="a", uncertain="report")
    assert emulator.count() == 0


@pytest.mark.parametrize("uncertain", ["lookup", "resubmit"])
async def test_a_lost_submit_is_found_in_the_history_and_followed_by_the_next_call(
    fal: Session, emulator: Emulator, runs: Where, uncertain: str
) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    with pytest.raises(SubmissionUncertainError):
        await fal.subscribe(LLM, ASK, key="a", uncertain="report")
    (job,) = emulator.jobs.values()
    await job.wait_for("COMPLETED", timeout=5)
    result = await fal.subscribe(LLM, ASK, key="a", uncertain=uncertain)  # type: ignore[arg-type]
    assert (result.request_id, len(emulator.jobs)) == (job.request_id, 1)
    record = await entry_of(fal, runs)
    assert record is not None
    assert (record.state, record.attempts) == ("done", 1)
