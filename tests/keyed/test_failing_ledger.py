"""A ledger that can't be written: nothing is submitted until it can, and no accepted request is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fal_async import ClientTimeoutError, LedgerError, RateLimitError, Session, SessionStateError
from fal_async.emulator import Emulator, Fault
from fal_async.keyed.driver_task import DriverTask
from fal_async.keyed.late_writes import LateWrites
from fal_async.ledger.opening import Where, open_store
from tests.keyed.entries import entry_of, state_of
from tests.keyed.failing_store import FailingStore
from tests.quick import ASK, GATE, LLM, ONCE, gate_at, session_on

AFTER_SUBMIT = {"submitted", "end", "leave", "cancel_requested"}


@pytest.fixture
async def store(runs: Where) -> AsyncIterator[FailingStore]:
    inner = await open_store(runs)
    yield FailingStore(inner)
    await inner.aclose()


@pytest.fixture
async def fal(emulator: Emulator, store: FailingStore) -> AsyncIterator[Session]:
    ledger: Any = store
    async with session_on(emulator, ledger=ledger) as session:
        yield session


@pytest.mark.parametrize("name", ["find", "claim"])
async def test_a_call_fails_before_its_submit_if_the_ledger_fails(
    fal: Session, emulator: Emulator, store: FailingStore, name: str
) -> None:
    store.fails.add(name)
    with pytest.raises(LedgerError, match="no space"):
        await fal.subscribe(LLM, ASK, key="a")
    assert emulator.count("submit") == 0
    store.fails.clear()
    await fal.subscribe(LLM, ASK, key="a")


async def test_writes_failing_after_the_submit_are_logged_with_id_and_key_and_the_result_is_returned(
    fal: Session, emulator: Emulator, store: FailingStore, runs: Where, caplog: pytest.LogCaptureFixture
) -> None:
    store.fails |= AFTER_SUBMIT
    result = await fal.subscribe(LLM, ASK, key="order-42")
    assert not result.from_ledger
    error = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert error.name == "fal_async"
    assert result.request_id in error.getMessage()
    assert "order-42" in error.getMessage()
    # As long as no write succeeds, no claim is made.
    with pytest.raises(LedgerError):
        await fal.subscribe(LLM, ASK, key="b")
    assert emulator.count("submit") == 1
    store.fails.clear()
    await fal.subscribe(LLM, ASK, key="b")
    assert await state_of(fal, runs, "order-42") == "done"
    assert (await fal.subscribe(LLM, ASK, key="order-42")).from_ledger
    assert emulator.count("submit") == 2


async def test_pending_writes_are_retried_in_the_background(
    fal: Session, store: FailingStore, runs: Where, caplog: pytest.LogCaptureFixture
) -> None:
    store.fails |= AFTER_SUBMIT
    await fal.subscribe(LLM, ASK, key="a")
    store.fails.clear()
    async with asyncio.timeout(10):
        while "written again" not in caplog.text:
            await asyncio.sleep(0.01)
    assert await state_of(fal, runs) == "done"


async def test_closing_the_session_retries_pending_writes_and_logs_those_that_fail(
    emulator: Emulator, store: FailingStore, runs: Where, caplog: pytest.LogCaptureFixture
) -> None:
    ledger: Any = store
    async with session_on(emulator, ledger=ledger) as fal:
        store.fails |= AFTER_SUBMIT
        await fal.subscribe(LLM, ASK, key="a")
        store.fails.clear()
    assert await state_of(fal, runs) == "done"
    async with session_on(emulator, ledger=ledger) as fal:
        store.fails |= AFTER_SUBMIT
        result = await fal.subscribe(LLM, ASK, key="b")
    assert "a write to the ledger is lost" in caplog.text
    assert result.request_id in caplog.text


async def test_a_request_id_is_stored_although_its_driver_is_interrupted_during_the_write(
    emulator: Emulator, store: FailingStore, runs: Where, caplog: pytest.LogCaptureFixture
) -> None:
    ledger: Any = store
    async with session_on(emulator, ledger=ledger) as fal:
        store.hangs.add("submitted")
        call = asyncio.create_task(fal.subscribe(LLM, ASK, key="a"))
        while "submitted" not in store.calls:
            await asyncio.sleep(0)
        store.hangs.clear()
        for _ in range(2):  # like a program that is interrupted twice
            for task in asyncio.all_tasks():
                if isinstance(task, DriverTask):
                    task.cancel()
        with pytest.raises(SessionStateError, match="the request continues") as closed:
            await call
    record = await entry_of(fal, runs, "a")
    assert record is not None
    assert (record.state, record.request_id) == ("submitted", closed.value.request_id)
    assert not caplog.records


async def test_a_failed_withdrawal_of_a_claim_is_made_before_the_next_claim(
    emulator: Emulator, store: FailingStore, runs: Where
) -> None:
    ledger: Any = store
    emulator.faults.add(Fault.answer(429, on="submit"))
    async with session_on(emulator, ledger=ledger, retry=ONCE) as fal:
        store.fails.add("withdraw")
        with pytest.raises(RateLimitError):
            await fal.subscribe(LLM, ASK, key="a")
        store.fails.clear()
        await fal.subscribe(LLM, ASK, key="b")
        assert await entry_of(fal, runs) is None


async def test_an_entry_deleted_during_its_call_blocks_no_other_write(
    fal: Session, emulator: Emulator, store: FailingStore, runs: Where
) -> None:
    gate = gate_at(emulator)
    task = asyncio.create_task(fal.subscribe(GATE, ASK, key="a"))
    await emulator.wait_for("status")
    record = await entry_of(fal, runs)
    assert record is not None
    assert await store.forget(record.number, record.version)
    gate.open()
    assert (await task).data == ASK
    await fal.subscribe(LLM, ASK, key="b")


async def test_a_handle_fetches_its_result_although_the_ledger_can_not_be_read(
    fal: Session, emulator: Emulator, store: FailingStore, caplog: pytest.LogCaptureFixture
) -> None:
    handle = await fal.queue.submit(LLM, ASK, key="a")
    store.fails.add("find_request")
    assert (await handle.wait()).data
    assert (await handle.result()).data
    assert f"the ledger can't be read for request {handle.request_id}" in caplog.text


async def test_the_time_limit_of_a_handle_holds_if_the_ledger_does_not_respond(
    fal: Session, emulator: Emulator, store: FailingStore
) -> None:
    handle = await fal.queue.submit(LLM, ASK, key="a")
    store.hangs.add("find_request")
    with pytest.raises(ClientTimeoutError, match="the request was not cancelled"):
        await handle.wait(timeout=0.01)
    assert emulator.count("cancel") == 0


async def test_a_working_ledger_is_logged_once_after_failures_and_so_is_a_write_lost_after_closing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    late, is_full = LateWrites(), True

    async def write() -> None:
        if is_full:
            raise LedgerError("no space left on device")

    await late.write("request 1 of key 'a'", write)
    is_full = False
    await asyncio.gather(late.check(), late.check())
    assert caplog.text.count("no write is pending") == 1
    await late.aclose()
    assert caplog.text.count("no write is pending") == 1
    is_full = True
    await late.write("request 2 of key 'b'", write)
    assert "is lost, as the session is closed (no space left on device): request 2 of key 'b'" in caplog.text
    assert asyncio.all_tasks() == {asyncio.current_task()}
