"""One fetch for all waiters: they share its value and its failure, but not a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from fal_async import FalError, TransportError
from fal_async.single_flight import SingleFlight


class Source:
    """Returns 1, 2, 3, ... once its gate is open, or raises its failure."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.begun = 0
        self.cancelled = 0
        self.gate = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        return number


def any_value(_: int) -> bool:
    return True


def other_than(refused: int | None) -> Callable[[int], bool]:
    return lambda value: value != refused


def waiters(flight: SingleFlight[int], source: Source, count: int) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(flight.get(any_value, source)) for _ in range(count)]


async def steps() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_all_waiters_get_the_value_of_one_fetch() -> None:
    flight, source = SingleFlight[int](), Source()
    tasks = waiters(flight, source, 20)
    await steps()
    source.gate.set()
    assert await asyncio.gather(*tasks) == [1] * 20
    assert (source.begun, flight.value, flight.under_way) == (1, 1, False)


async def test_a_good_value_is_returned_without_a_fetch_and_a_refused_one_is_fetched_again() -> None:
    flight, source = SingleFlight[int](), Source()
    source.gate.set()
    assert await flight.get(any_value, source) == 1
    assert await flight.get(any_value, source) == 1
    assert await flight.get(other_than(1), source) == 2
    assert source.begun == 2


async def test_waiters_get_the_fetched_value_without_checking_it() -> None:
    """A thousand tasks that accept no value must not fetch one after the other."""
    flight, source = SingleFlight[int](), Source()
    tasks = [asyncio.create_task(flight.get(lambda _: False, source)) for _ in range(1000)]
    await steps()
    source.gate.set()
    assert set(await asyncio.gather(*tasks)) == {1}
    assert source.begun == 1


async def test_a_good_value_is_returned_while_another_one_is_fetched() -> None:
    flight, source = SingleFlight[int](), Source()
    flight.value = 7
    flight.start(source)
    assert await flight.get(any_value, source) == 7
    source.gate.set()
    assert await flight.get(other_than(7), source) == 1


async def test_a_failed_fetch_raises_a_separate_error_for_each_waiter() -> None:
    failure = TransportError("the host is away")
    failure.__cause__ = OSError("no route")
    flight, source = SingleFlight[int](), Source(failure)
    tasks = waiters(flight, source, 3)
    await steps()
    source.gate.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert source.begun == 1
    assert len({id(error) for error in errors}) == 3
    for error in errors:
        assert isinstance(error, FalError)
        assert str(error) == "the host is away"
        assert error.__cause__ is failure.__cause__


async def test_a_call_after_a_failed_fetch_fetches_again() -> None:
    flight, source = SingleFlight[int](), Source(TransportError("once"))
    source.gate.set()
    with pytest.raises(TransportError):
        await flight.get(any_value, source)
    source.failure = None
    assert await flight.get(any_value, source) == 2


async def test_cancelling_the_waiter_that_started_a_fetch_does_not_affect_the_others() -> None:
    flight, source = SingleFlight[int](), Source()
    tasks = waiters(flight, source, 3)
    await steps()
    tasks[0].cancel()
    await steps()
    source.gate.set()
    assert await asyncio.gather(*tasks[1:]) == [1, 1]
    assert tasks[0].cancelled()
    assert source.begun == 1


async def test_a_fetch_is_cancelled_with_its_last_waiter_and_the_next_one_starts_another() -> None:
    flight, source = SingleFlight[int](), Source()
    tasks = waiters(flight, source, 2)
    await steps()
    for task in tasks:
        task.cancel()
    late = asyncio.create_task(flight.get(any_value, source))
    await asyncio.wait(tasks)
    assert source.cancelled == 1
    source.gate.set()
    assert await late == 2


async def test_a_background_fetch_continues_without_waiters() -> None:
    flight, source = SingleFlight[int](), Source()
    flight.start(source)
    task = waiters(flight, source, 1)[0]
    await steps()
    task.cancel()
    await asyncio.wait([task])
    assert flight.under_way
    source.gate.set()
    assert await flight.get(any_value, source) == 1
    assert (source.begun, source.cancelled) == (1, 0)


async def test_closing_a_single_flight_cancels_its_background_fetch() -> None:
    flight, source = SingleFlight[int](), Source()
    flight.start(source)
    await steps()
    await flight.aclose()
    await flight.aclose()
    assert (source.cancelled, flight.under_way) == (1, False)
