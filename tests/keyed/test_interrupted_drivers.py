"""Whatever ends the task of a driver, and at whatever step, all callers of its key are given an outcome."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fal_async import RequestCancelledError, Retry, Session, SessionStateError
from fal_async.emulator import Emulator, Fault
from fal_async.keyed.call import KeyedRequest
from fal_async.keyed.driver import KeyedDriver
from fal_async.keyed.driver_task import DriverTask
from fal_async.ledger.opening import open_store
from fal_async.options import CallOptions
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.following import Following
from fal_async.queue.state import NewRequest
from tests.keyed.entries import state_of
from tests.keyed.failing_store import FailingStore
from tests.quick import ASK, LLM, quick, session_on

CALLS: dict[str, Callable[[Session], Awaitable[Any]]] = {
    "subscribe": lambda fal: fal.subscribe(LLM, ASK, key="a"),
    "watched": lambda fal: fal.subscribe(LLM, ASK, key="a", on_enqueue=print),
    "submit": lambda fal: fal.queue.submit(LLM, ASK, key="a"),
}


def drivers_not_begun() -> list[DriverTask]:
    """Return the drivers' tasks that have not executed their first step."""
    return [
        task
        for task in asyncio.all_tasks()
        if isinstance(task, DriverTask) and _state_of(task) == inspect.CORO_CREATED
    ]


def _state_of(task: DriverTask) -> str:
    work: Any = task.get_coro()
    return inspect.getcoroutinestate(work)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_session_closed_before_the_first_step_of_a_driver_ends_its_callers(
    emulator: Emulator, runs: Path, call: Callable[[Session], Awaitable[Any]]
) -> None:
    inner = await open_store(runs)
    store: Any = FailingStore(inner)
    gate = store.late_gates["find"] = asyncio.Event()
    begun: list[list[DriverTask]] = []
    async with session_on(emulator, ledger=store) as fal:
        calling = asyncio.ensure_future(call(fal))
        while "find" not in store.returning:
            await asyncio.sleep(0)
        # The steps of the loop after this one: the call creates its driver, the drivers are looked at, the
        # ledger closes its drivers, and only then the new driver begins.
        gate.set()
        asyncio.get_running_loop().call_soon(lambda: begun.append(drivers_not_begun()))
        await fal.aclose()
        async with asyncio.timeout(10):
            with pytest.raises(SessionStateError, match="before the request was submitted"):
                await calling
    await inner.aclose()
    assert [len(tasks) for tasks in begun] == [1]
    assert emulator.count("submit") == 0
    async with session_on(emulator, ledger=runs) as fal:
        assert await state_of(fal, runs) is None


async def begun_driver(fal: Session) -> KeyedDriver:
    """Return a driver that was just created."""
    scope = fal._view.keyed("a")
    new = NewRequest(endpoint=EndpointId.parse(LLM), input=ASK, options=CallOptions())
    asked = KeyedRequest(place=scope.place("a", ""), new=new, following=Following())
    driver: Any = await scope.calls.begin(asked)
    assert drivers_not_begun() == [driver.task]
    return driver  # type: ignore[no-any-return]


async def test_a_driver_cancelled_before_its_first_step_ends_and_the_next_call_submits(
    fal: Session, emulator: Emulator
) -> None:
    driver = await begun_driver(fal)
    async with asyncio.timeout(10):
        assert await driver.cancel() is None
        with pytest.raises(RequestCancelledError, match="nothing was sent"):
            (await driver.ended()).result()
    assert emulator.count("submit") == 0
    await fal.subscribe(LLM, ASK, key="a")
    assert emulator.count("submit") == 1


async def test_a_driver_closed_twice_before_its_first_step_ends_with_one_outcome(
    fal: Session, emulator: Emulator
) -> None:
    driver = await begun_driver(fal)
    driver.task.cancel()  # like `asyncio.run` at its end
    driver.give_up()
    async with asyncio.timeout(10):
        with pytest.raises(SessionStateError, match="before the request was submitted"):
            (await driver.ended()).result()
    assert emulator.count("submit") == 0


class Stop(BaseException):
    """An exception that is not an `Exception`, like that of `pytest.fail`."""


async def test_a_base_exception_of_a_callback_in_a_driver_is_raised_to_its_callers(
    emulator: Emulator, runs: Path
) -> None:
    stop = Stop()

    def on_retry(_: Retry) -> None:
        raise stop

    emulator.faults.add(Fault.answer(429, on="submit"))
    async with session_on(emulator, ledger=runs, retry=quick(on_retry=on_retry)) as fal:
        async with asyncio.timeout(10):
            with pytest.raises(Stop):
                await fal.subscribe(LLM, ASK, key="a")
        assert await state_of(fal, runs) is None
        await fal.subscribe(LLM, ASK, key="a")
    assert len(emulator.jobs) == 1


def test_a_keyboard_interrupt_in_a_driver_reaches_its_callers_if_the_loop_runs_again(runs: Path) -> None:
    def on_retry(_: Retry) -> None:
        raise KeyboardInterrupt

    async def program() -> None:
        async with Emulator() as emulator:
            emulator.faults.add(Fault.answer(429, on="submit"))
            async with session_on(emulator, ledger=runs, retry=quick(on_retry=on_retry)) as fal:
                async with asyncio.timeout(10):
                    await fal.subscribe(LLM, ASK, key="a")

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        running = loop.create_task(program())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(running)
        assert not running.done()
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(running)
        assert isinstance(running.exception(), KeyboardInterrupt)
