"""`subscribe(key=)`: one key is one request, for all callers and all calls."""

from __future__ import annotations

import asyncio
import gc
from decimal import Decimal
from typing import Any

import attrs
import pytest

from fal_async import (
    ClientTimeoutError,
    Completed,
    ConfigurationError,
    KeyConflictError,
    Ledger,
    ResponseDecodeError,
    Session,
    ValidationError,
)
from fal_async.emulator import Emulator, Fault
from fal_async.keyed.driver import KeyedDriver
from fal_async.keyed.own_copies import Answer
from fal_async.ledger.opening import Where
from tests.keyed.entries import content_of
from tests.quick import ASK, GATE, LLM, gate_at, session_on


async def test_a_second_call_with_the_key_returns_the_stored_result(fal: Session, emulator: Emulator) -> None:
    first = await fal.subscribe(LLM, ASK, key="a")
    second = await fal.subscribe(LLM, ASK, key="a")
    assert (first.from_ledger, second.from_ledger) == (False, True)
    assert (second.data, second.request_id) == (first.data, first.request_id)
    assert (second.attempts, second.status, second.logs) == ({}, None, ())
    assert second.billable_units == first.billable_units
    assert emulator.count("submit") == 1


async def test_the_input_is_sent_as_given_even_if_the_caller_changes_it_during_the_call(
    fal: Session, emulator: Emulator
) -> None:
    given: dict[str, Any] = {"prompt": "x", "loras": [{"path": "a"}]}
    for call in (fal.subscribe, fal.queue.submit):
        task: asyncio.Task[Any] = asyncio.create_task(call(LLM, given, key=call.__name__))
        await asyncio.sleep(0)
        given["loras"][0]["path"] = given["prompt"] = "b"
        await task
        given |= {"prompt": "x", "loras": [{"path": "a"}]}
    assert [job.input for job in emulator.jobs.values()] == [given, given]


async def test_drivers_and_responses_are_released_as_soon_as_their_calls_return(fal: Session) -> None:
    await fal.subscribe(LLM, ASK, key="imports all modules")
    gc.collect()
    gc.disable()  # results may be large, so they must be freed without a collection
    try:
        await asyncio.gather(*(fal.subscribe(LLM, ASK, key=f"key-{number}") for number in range(3)))
        async with fal.map(LLM, [{"prompt": f"{number}"} for number in range(3)]) as batch:
            assert [item.ok async for item in batch] == [True] * 3
        await asyncio.sleep(0)  # lets the done callbacks run
        kept = [held for held in gc.get_objects() if isinstance(held, KeyedDriver | Answer)]
        assert kept == []
    finally:
        gc.enable()


async def test_a_call_that_waits_for_a_connection_has_no_claim_yet(emulator: Emulator, runs: Where) -> None:
    emulator.faults.add(Fault.stall(3600, on="submit", taken=False, times=None))
    async with session_on(emulator, ledger=runs, max_connections=2) as fal:
        calls = [asyncio.create_task(fal.subscribe(LLM, ASK, key=f"key-{n}")) for n in range(8)]
        await emulator.wait_for("submit")
        async with await Ledger.open(runs) as ledger:
            assert 1 <= len([entry async for entry in ledger.entries()]) <= 2
        emulator.faults.clear()
        emulator.drop_connections()  # ends the submits that wait
        await asyncio.gather(*calls, return_exceptions=True)


async def test_the_api_key_is_not_in_the_ledger(fal: Session, emulator: Emulator, runs: Where) -> None:
    emulator.faults.add(Fault.answer(422, on="result", after=1))
    await fal.subscribe(LLM, ASK, key="a")
    with pytest.raises(ValidationError):
        await fal.subscribe(LLM, ASK, key="b")
    written = await content_of(runs)
    assert LLM.encode() in written
    assert emulator.key.encode() not in written


async def test_another_session_with_the_same_ledger_returns_the_stored_result(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    first = await fal.subscribe(LLM, ASK, key="a")
    async with session_on(emulator, ledger=str(runs)) as other:
        assert (await other.subscribe(LLM, ASK, key="a")).data == first.data
    assert emulator.count("submit") == 1


async def test_the_cost_of_a_keyed_call_is_stored_where_the_price_is_known(
    fal: Session, emulator: Emulator, runs: Where
) -> None:
    unknown = await fal.subscribe(LLM, ASK, key="unknown")
    emulator.price(LLM, "0.1")
    await fal.platform.pricing(LLM)
    first = await fal.subscribe(LLM, ASK, key="a")
    assert (unknown.cost, first.cost) == (None, Decimal("0.1"))
    emulator.price(LLM, "5")
    async with session_on(emulator, ledger=str(runs)) as other:
        await other.platform.pricing(LLM)
        assert (await other.subscribe(LLM, ASK, key="a")).cost == Decimal("0.1"), "as it was stored"
        assert (await other.subscribe(LLM, ASK, key="unknown")).cost is None
    async with await Ledger.open(runs) as ledger:
        entry, summary = await ledger.get("a"), await ledger.summary()
    assert entry is not None
    assert entry.result is not None
    assert (entry.cost, entry.result.cost) == (Decimal("0.1"), Decimal("0.1"))
    assert (summary.cost, summary.unpriced) == (Decimal("0.1"), 1)


async def test_concurrent_callers_share_one_request_and_get_separate_data(
    fal: Session, emulator: Emulator
) -> None:
    results = await asyncio.gather(*(fal.subscribe(LLM, ASK, key="a") for _ in range(200)))
    assert len({result.request_id for result in results}) == 1
    assert len({id(result.data) for result in results}) == 200
    results[0].data["output"] = "changed"
    assert results[1].data["output"] != "changed"
    assert emulator.count("submit") == 1


async def test_changing_the_returned_data_does_not_change_the_stored_result(fal: Session) -> None:
    first = await fal.subscribe(LLM, ASK, key="a")
    output = first.data["output"]
    first.data.clear()
    assert (await fal.subscribe(LLM, ASK, key="a")).data["output"] == output


@pytest.mark.parametrize(
    ("endpoint_id", "input", "differs"),
    [
        (LLM, {"prompt": "other"}, "input"),
        ("fal-ai/flux/dev", ASK, "endpoint_id"),
        (f"{LLM}/b", ASK, "endpoint_id"),
    ],
)
@pytest.mark.parametrize("is_running", [True, False])
async def test_a_key_used_with_another_input_or_endpoint_raises_a_conflict_and_sends_nothing(
    fal: Session, emulator: Emulator, endpoint_id: str, input: Any, differs: str, is_running: bool
) -> None:
    first = asyncio.create_task(fal.subscribe(LLM, ASK, key="a"))
    if is_running:
        await emulator.wait_for("submit")
    else:
        await first
    before = emulator.count()
    with pytest.raises(KeyConflictError) as caught:
        await fal.subscribe(endpoint_id, input, key="a")
    assert (caught.value.key, caught.value.differs) == ("a", differs)
    assert is_running or emulator.count() == before
    await first
    assert emulator.count("submit") == 1


async def test_the_same_key_in_another_run_is_another_request(fal: Session, emulator: Emulator) -> None:
    await fal.subscribe(LLM, ASK, key="a")
    await fal.subscribe(LLM, ASK, key="a", run="again")
    assert emulator.count("submit") == 2


async def test_each_caller_gets_its_callbacks_and_a_replay_only_the_request_id(fal: Session) -> None:
    ids: list[str] = []
    first: list[Any] = []
    second: list[Any] = []
    result = (
        await asyncio.gather(
            fal.subscribe(LLM, ASK, key="a", on_enqueue=ids.append, on_queue_update=first.append),
            fal.subscribe(LLM, ASK, key="a", on_enqueue=ids.append, on_queue_update=second.append),
        )
    )[0]
    assert isinstance(first[-1], Completed)
    assert isinstance(second[-1], Completed)
    third: list[Any] = []
    await fal.subscribe(LLM, ASK, key="a", on_enqueue=ids.append, on_queue_update=third.append)
    assert (ids, third) == ([result.request_id] * 3, [])


@attrs.frozen
class Said:
    output: str


@attrs.frozen
class Other:
    pictures: list[str]


async def test_each_caller_gets_its_own_output_type(fal: Session, emulator: Emulator) -> None:
    typed, plain = await asyncio.gather(
        fal.subscribe(LLM, ASK, key="a", output_type=Said), fal.subscribe(LLM, ASK, key="a")
    )
    assert typed.data.output == plain.data["output"]
    with pytest.raises(ResponseDecodeError):
        await fal.subscribe(LLM, ASK, key="a", output_type=Other)
    assert (await fal.subscribe(LLM, ASK, key="a", output_type=Said)).data == typed.data
    assert emulator.count("submit") == 1


async def test_a_validation_error_is_replayed_without_a_further_submit(
    fal: Session, emulator: Emulator
) -> None:
    for _ in range(2):
        with pytest.raises(ValidationError) as caught:
            await fal.subscribe("fal-ai/flux/dev", {"prompt": 5}, key="a")
        assert caught.value.errors
    assert emulator.count("submit") == 1


async def test_a_time_limit_ends_one_wait_and_the_next_call_follows_the_request(
    fal: Session, emulator: Emulator
) -> None:
    gate = gate_at(emulator)
    handle = await fal.queue.submit(GATE, key="a")
    with pytest.raises(ClientTimeoutError) as caught:
        await fal.subscribe(GATE, key="a", timeout=1)
    assert "the request continues" in str(caught.value)
    assert "'a'" in str(caught.value)
    assert caught.value.retryable
    task = asyncio.create_task(fal.subscribe(GATE, key="a"))
    await emulator.wait_for("status")
    gate.open()
    result = await task
    assert result.request_id == caught.value.request_id == handle.request_id
    assert (emulator.count("submit"), emulator.count("cancel")) == (1, 0)


async def test_a_time_limit_that_ends_before_the_submit_may_be_retried_with_the_same_key(
    fal: Session, emulator: Emulator
) -> None:
    with pytest.raises(ClientTimeoutError, match="nothing was submitted") as caught:
        await fal.subscribe(LLM, ASK, key="a", timeout=1e-9)
    assert caught.value.retryable
    assert emulator.count("submit") == 0
    await fal.subscribe(LLM, ASK, key="a")
    assert emulator.count("submit") == 1


async def test_cancelling_the_first_caller_does_not_affect_the_other_callers(
    fal: Session, emulator: Emulator
) -> None:
    gate = gate_at(emulator)
    tasks = [asyncio.create_task(fal.subscribe(GATE, key="a")) for _ in range(5)]
    await emulator.wait_for("submit")
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    gate.open()
    results = await asyncio.gather(*tasks[1:])
    assert len({result.request_id for result in results}) == 1
    assert (emulator.count("submit"), emulator.count("cancel")) == (1, 0)


async def test_a_key_without_a_ledger_and_a_run_without_a_key_are_refused(
    emulator: Emulator, fal: Session
) -> None:
    async with session_on(emulator) as plain:
        for call in (plain.subscribe, plain.queue.submit, plain.submit):
            with pytest.raises(ConfigurationError, match="needs a ledger"):
                await call(LLM, ASK, key="a")
    with pytest.raises(ConfigurationError, match="pass key="):
        await fal.subscribe(LLM, ASK, run="x")
    with pytest.raises(ConfigurationError, match="uncertain="):
        await fal.subscribe(LLM, ASK, key="a", uncertain="guess")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="webhook"):
        await fal.subscribe(LLM, ASK, key="a", mode="webhook")
    assert emulator.count() == 0


async def test_a_refused_submit_leaves_no_entry_in_the_ledger(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(401, on="submit"))
    with pytest.raises(Exception, match="401"):
        await fal.subscribe(LLM, ASK, key="a")
    assert not (await fal.subscribe(LLM, ASK, key="a")).from_ledger
    assert len(emulator.jobs) == 1
