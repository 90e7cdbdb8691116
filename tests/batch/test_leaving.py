"""A batch that is left early: each request is cancelled once, the inputs are closed, and no task still runs."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from fal_async import Batch, BatchItem, Session, SessionStateError
from fal_async.emulator import Emulator, Fault
from tests.emulator.gate import Gate
from tests.quick import ASK, GATE, LLM, gate_at, session_on

STEPS = 100
"""Steps of the event loop after which all tasks that do not wait for a server have finished."""


@pytest.fixture
def gate(emulator: Emulator) -> Gate:
    return gate_at(emulator)


def closing(closed: list[str]) -> Iterator[dict[str, int]]:
    try:
        for n in range(1000):
            yield {"n": n}
    finally:
        closed.append("closed")


async def closing_too(closed: list[str]) -> AsyncIterator[dict[str, int]]:
    try:
        for n in range(1000):
            yield {"n": n}
            await asyncio.sleep(0)
    finally:
        await asyncio.sleep(0)
        closed.append("closed")


async def begun(emulator: Emulator, batch: Batch[Any]) -> asyncio.Future[BatchItem[Any]]:
    """Start a task that waits for an item, and return it after fal has accepted five requests."""
    waiting: asyncio.Future[BatchItem[Any]] = asyncio.ensure_future(anext(batch))
    while len(emulator.jobs) < 5 or batch.summary.queued + batch.summary.running < 5:
        await asyncio.sleep(0.01)
    return waiting


async def ended(scheduler: Any) -> None:
    """Wait until the batch has ended. Its scheduler is used, because the batch was garbage-collected."""
    async with asyncio.timeout(30):
        while not scheduler._is_over:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("inputs", [closing, closing_too])
async def test_leaving_a_batch_cancels_each_request_once_and_closes_the_inputs(
    emulator: Emulator, fal: Session, gate: Gate, inputs: Any
) -> None:
    closed: list[str] = []
    async with fal.map(GATE, inputs(closed), concurrency=5) as batch:
        waiting = await begun(emulator, batch)

    assert emulator.count("cancel") == len(emulator.jobs) == 5
    assert closed == ["closed"]
    with pytest.raises(StopAsyncIteration):
        await waiting
    assert batch.summary.queued == batch.summary.running == 0


async def test_cancelling_the_consumer_ends_a_batch_without_async_with(
    emulator: Emulator, fal: Session, gate: Gate
) -> None:
    batch = fal.map(GATE, closing([]), concurrency=5)
    waiting = await begun(emulator, batch)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert emulator.count("cancel") == 5
    with pytest.raises(StopAsyncIteration):
        await anext(batch)


async def test_a_second_cancellation_does_not_wait_for_the_remote_cancels(
    emulator: Emulator, fal: Session, gate: Gate
) -> None:
    emulator.faults.add(Fault.stall(60, on="cancel", times=None))

    async def consume() -> None:
        async with fal.map(GATE, closing([]), concurrency=5) as batch:
            (await begun(emulator, batch)).cancel()
            await asyncio.Event().wait()

    consumer = asyncio.ensure_future(consume())
    await emulator.wait_for("cancel", 5)
    consumer.cancel()
    for _ in range(STEPS):
        await asyncio.sleep(0)
    assert not consumer.done()
    consumer.cancel()
    for _ in range(STEPS):
        await asyncio.sleep(0)
    assert consumer.cancelled()


async def test_closing_the_session_ends_the_batch_and_cancels_each_request_once(
    emulator: Emulator, gate: Gate
) -> None:
    closed: list[str] = []
    async with session_on(emulator) as fal:
        batch = fal.map(GATE, closing(closed), concurrency=5)
        waiting = await begun(emulator, batch)

    with pytest.raises(SessionStateError):
        await waiting
    assert emulator.count("cancel") == len(emulator.jobs) == 5
    assert closed == ["closed"]


async def test_a_bare_break_warns_and_ends_the_batch(emulator: Emulator, fal: Session) -> None:
    @emulator.endpoint("me/echo")
    async def echo(input: Any) -> Any:
        return input

    async def careless() -> None:
        batch = fal.map("me/echo", closing(closed), concurrency=5)
        async for _ in batch:
            schedulers.append(batch._scheduler)
            break
        del batch
        gc.collect()

    closed: list[str] = []
    schedulers: list[Any] = []
    with pytest.warns(ResourceWarning, match="async with fal.map"):
        await careless()
    await ended(schedulers[0])
    assert closed == ["closed"]
    assert len(emulator.jobs) <= 11


async def test_a_batch_that_is_never_iterated_warns(fal: Session) -> None:
    with pytest.warns(ResourceWarning, match="never iterated"):
        fal.map("me/echo", [{}])


async def test_closing_a_batch_in_its_own_callback_does_not_deadlock(
    emulator: Emulator, fal: Session
) -> None:
    @emulator.endpoint("me/echo")
    async def echo(input: Any) -> Any:
        return input

    async def enough(_: Any) -> None:
        await batch.aclose()

    batch = fal.map("me/echo", closing([]), concurrency=5, on_item=enough)
    assert len([item async for item in batch]) == 1


async def test_a_batch_can_read_its_inputs_from_another_batch(emulator: Emulator, fal: Session) -> None:
    @emulator.endpoint("me/echo")
    async def echo(input: Any) -> Any:
        return input

    async def made() -> AsyncIterator[Any]:
        async with fal.map("me/echo", closing([]), concurrency=3) as first:
            async for item in first:
                yield item.unwrap().data

    async with fal.map("me/echo", made(), concurrency=2) as batch:
        for _ in range(20):
            assert (await anext(batch)).ok


# Other code may cancel all tasks, also those that have not begun.


def cancel_task_of(work: str) -> None:
    """Cancel the batch's task of this kind, which has not begun yet."""
    coroutines: dict[Any, Any] = {task.get_coro(): task for task in asyncio.all_tasks()}
    (coroutine,) = [one for one in coroutines if one.__name__ == work]
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
    coroutines[coroutine].cancel()


async def test_a_batch_whose_reader_of_inputs_is_cancelled_before_it_begins_raises_the_cancellation(
    emulator: Emulator,
) -> None:
    async with session_on(emulator) as fal:
        collecting = asyncio.ensure_future(fal.map(LLM, [ASK]).collect())
        asyncio.get_running_loop().call_soon(cancel_task_of, "_feed")
        await asyncio.wait([collecting], timeout=10)
        assert collecting.done()
        assert collecting.cancelled()
    assert emulator.count("submit") == 0


async def test_a_batch_whose_item_is_cancelled_before_it_begins_raises_the_cancellation(
    emulator: Emulator,
) -> None:
    async def inputs() -> AsyncIterator[Any]:
        asyncio.get_running_loop().call_soon(cancel_task_of, "_item")
        yield ASK
        yield ASK

    async with session_on(emulator) as fal:
        collecting = asyncio.ensure_future(fal.map(LLM, inputs(), concurrency=1).collect())
        await asyncio.wait([collecting], timeout=10)
        assert collecting.done()
        assert collecting.cancelled()
    assert emulator.count("submit") == 0
