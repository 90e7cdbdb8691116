"""`fal.map`: an item with a result or an error for each input, and a limited number of requests in flight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import attrs
import pytest

from fal_async import (
    AuthenticationError,
    BalanceExhaustedError,
    Batch,
    BatchItem,
    BatchStoppedError,
    ClientTimeoutError,
    ConfigurationError,
    NotFoundError,
    ServerError,
    Session,
    SessionStateError,
    SubmissionUncertainError,
    ValidationError,
)
from fal_async.emulator import Emulator, Fault, ModelError
from tests.emulator.gate import Gate
from tests.quick import GATE, gate_at, session_on


def numbers(count: int) -> Iterator[dict[str, int]]:
    for n in range(count):
        yield {"n": n}


async def async_numbers(count: int) -> AsyncIterator[dict[str, int]]:
    for n in range(count):
        await asyncio.sleep(0)
        yield {"n": n}


@pytest.fixture
def echo(emulator: Emulator) -> str:
    @emulator.endpoint("me/echo")
    async def echo(input: Any) -> Any:
        return input

    return "me/echo"


async def take(batch: Batch[Any], into: list[BatchItem[Any]]) -> None:
    async with batch:
        async for item in batch:
            into.append(item)


async def items_of(batch: Any) -> list[BatchItem[Any]]:
    return [item async for item in batch]


async def test_each_input_gets_its_own_result(fal: Session, echo: str) -> None:
    async with fal.map(echo, numbers(30), concurrency=7) as batch:
        items = await items_of(batch)

    assert sorted(item.index for item in items) == list(range(30))
    assert all(item.ok and item.unwrap().data == item.input == {"n": item.index} for item in items)
    assert all(item.attempts == 1 and item.request_id == item.unwrap().request_id for item in items)
    assert (batch.summary.done, batch.summary.total, batch.summary.queued) == (30, 30, 0)


async def test_a_dict_changed_and_yielded_again_counts_as_a_new_input(fal: Session, echo: str) -> None:
    def inputs() -> Iterator[dict[str, Any]]:
        again: dict[str, Any] = {"at": {}}
        for n in range(4):
            again["at"]["n"] = n
            yield again

    async with fal.map(echo, inputs(), concurrency=4) as batch:
        items = await batch.collect()
    assert [(item.input, item.unwrap().data) for item in items] == [({"at": {"n": n}},) * 2 for n in range(4)]


async def test_an_async_generator_works_like_a_plain_one(fal: Session, echo: str) -> None:
    batch = fal.map(echo, async_numbers(9), concurrency=2, ordered=True)

    assert [item.unwrap().data["n"] async for item in batch] == list(range(9))


async def test_collect_returns_items_in_input_order_including_failed_ones(fal: Session, echo: str) -> None:
    items = await fal.map(echo, [{"n": 0}, {"n": {1}}, {"n": 2}]).collect()

    assert [item.index for item in items] == [0, 1, 2]
    assert [item.ok for item in items] == [True, False, True]
    with pytest.raises(ConfigurationError, match="set"):
        items[1].unwrap()


async def test_concurrency_limits_the_requests_in_flight(emulator: Emulator, fal: Session) -> None:
    gate = gate_at(emulator)
    async with fal.map(GATE, numbers(50), concurrency=3) as batch:
        first = asyncio.ensure_future(anext(batch))
        await emulator.wait_for("status", 4, timeout=30)
        assert len(emulator.jobs) == 3
        gate.open()
        await first
        await items_of(batch)
    assert len(emulator.jobs) == 50


@pytest.mark.parametrize("ordered", [False, True])
async def test_items_not_taken_yet_limit_how_many_inputs_are_read(
    emulator: Emulator, fal: Session, echo: str, ordered: bool
) -> None:
    asked = 0

    def endless() -> Iterator[dict[str, int]]:
        nonlocal asked
        while True:
            asked += 1
            yield {"n": asked}

    async with fal.map(echo, endless(), concurrency=4, ordered=ordered) as batch:
        for _ in range(3):
            await anext(batch)
        while batch.summary.queued + batch.summary.running:
            await asyncio.sleep(0.01)
        assert asked <= 3 + 2 * 4
    assert len(emulator.jobs) <= asked


async def test_a_failed_item_does_not_stop_the_others(emulator: Emulator, fal: Session) -> None:
    @emulator.endpoint("me/picky")
    async def picky(input: Any) -> Any:
        if input["n"] % 3 == 0:
            raise ModelError(422, "no", "value_error")
        return input

    items = await fal.map("me/picky", numbers(9), retries=0).collect()

    assert [item.ok for item in items] == [n % 3 != 0 for n in range(9)]
    assert all(isinstance(item.error, ValidationError) for item in items if not item.ok)


async def test_a_retryable_failure_is_retried_as_often_as_retries_allows(emulator: Emulator) -> None:
    @emulator.endpoint("me/shaky")
    async def shaky(_: Any) -> Any:
        raise ModelError(500, "out of memory", "internal_server_error")

    async with session_on(emulator) as fal:
        (item,) = await fal.map("me/shaky", [{}], retries=3, no_retry=True).collect()

    assert isinstance(item.error, ServerError)
    assert item.attempts == len(emulator.jobs) == 4


async def test_a_submit_that_fal_may_have_taken_is_not_repeated(emulator: Emulator, echo: str) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    async with session_on(emulator) as fal, fal.map(echo, [{}, {}], concurrency=1, retries=5) as batch:
        items = await items_of(batch)

    assert isinstance(items[0].error, SubmissionUncertainError)
    assert items[1].ok
    assert (batch.summary.uncertain, batch.summary.failed, len(emulator.jobs)) == (1, 0, 2)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.answer(401, on="submit", after=6, times=None), AuthenticationError),
        (Fault.balance(on="submit", after=6, times=None), BalanceExhaustedError),
    ],
    ids=["401", "balance exhausted"],
)
async def test_a_refused_key_stops_the_run_after_all_ended_items_were_given(
    emulator: Emulator, fal: Session, echo: str, fault: Fault, error: type[Exception]
) -> None:
    emulator.faults.add(fault)
    given: list[BatchItem[Any]] = []
    with pytest.raises(error):
        await take(fal.map(echo, numbers(1000), concurrency=4, ordered=True), given)

    assert [item.index for item in given] == list(range(6))
    assert emulator.count("submit") <= 10


async def test_an_unknown_endpoint_stops_the_run(emulator: Emulator, fal: Session) -> None:
    with pytest.raises(NotFoundError, match="me/mistyped"):
        await fal.map("me/mistyped", numbers(1000), concurrency=4).collect()
    assert emulator.count("submit") <= 4


async def test_a_403_for_one_input_does_not_stop_the_run(emulator: Emulator, fal: Session, echo: str) -> None:
    emulator.faults.add(Fault.html(403, on="submit", after=1))
    items = await fal.map(echo, numbers(5), concurrency=1).collect()

    assert [item.ok for item in items] == [True, False, True, True, True]


async def test_a_session_without_a_key_stops_the_run_before_anything_is_sent(
    emulator: Emulator, echo: str
) -> None:
    given: list[BatchItem[Any]] = []
    async with Session(hosts=emulator.hosts) as fal:
        with pytest.raises(ConfigurationError, match="FAL_KEY"):
            await take(fal.map(echo, numbers(100)), given)
    assert given == []
    assert emulator.count() == 0


@pytest.mark.parametrize(
    ("limit", "least", "most"), [(0, 1, 1 + 2), (3, 4, 4 + 2), (0.5, 20, 20 + 2), (0.01, 20, 20 + 2)]
)
async def test_more_failures_than_max_failures_stop_the_run(
    emulator: Emulator, fal: Session, limit: float, least: int, most: int
) -> None:
    @emulator.endpoint("me/failing")
    async def failing(_: Any) -> Any:
        raise ModelError(422, "no", "value_error")

    given: list[BatchItem[Any]] = []
    with pytest.raises(BatchStoppedError, match="max_failures") as caught:
        await take(fal.map("me/failing", numbers(100), concurrency=2, max_failures=limit), given)

    assert caught.value.reason == "max_failures"
    assert least <= caught.value.summary.failed <= len(given) <= most


async def test_an_exception_of_inputs_is_raised_after_running_items_have_ended(
    fal: Session, echo: str
) -> None:
    def broken() -> Iterator[dict[str, int]]:
        yield from numbers(5)
        raise KeyError("line 6")

    given: list[BatchItem[Any]] = []
    with pytest.raises(KeyError, match="line 6"):
        await take(fal.map(echo, broken()), given)
    assert sorted(item.index for item in given) == list(range(5))
    assert all(item.ok for item in given)


async def test_timeout_does_not_count_the_wait_in_the_queue(emulator: Emulator, fal: Session) -> None:
    gate = Gate()
    emulator.endpoint(GATE, runners=1)(gate)
    await fal.queue.submit(GATE)
    gate_at(emulator, "me/runs")
    batch = fal.map(GATE, [{}], timeout=0.3, retries=0)
    waiting = asyncio.ensure_future(anext(batch))
    await emulator.wait_for("status")
    (control,) = await fal.map("me/runs", [{}], timeout=0.3, retries=0).collect()
    assert isinstance(control.error, ClientTimeoutError), "the queued request has waited at least as long"
    gate.open()
    assert (await waiting).ok
    await batch.aclose()


async def test_a_request_that_runs_too_long_is_cancelled_once(emulator: Emulator, fal: Session) -> None:
    gate_at(emulator)
    (item,) = await fal.map(GATE, [{}], timeout=0.05).collect()

    assert isinstance(item.error, ClientTimeoutError)
    assert item.error.request_id == item.request_id
    assert emulator.count("cancel") == 1
    assert len(emulator.jobs) == 1


async def test_on_item_gets_each_item_as_it_ends(fal: Session, echo: str) -> None:
    seen: list[int] = []

    async def note(item: BatchItem[Any]) -> None:
        await asyncio.sleep(0)
        seen.append(item.index)

    await fal.map(echo, numbers(10), on_item=note, ordered=True).collect()
    assert sorted(seen) == list(range(10))


async def test_an_exception_of_on_item_ends_the_batch(emulator: Emulator, fal: Session, echo: str) -> None:
    def full(_: Any) -> None:
        raise OSError("disk full")

    given: list[BatchItem[Any]] = []
    with pytest.raises(OSError, match="disk full"):
        await take(fal.map(echo, numbers(1000), concurrency=4, on_item=full), given)
    assert given
    assert given[0].ok
    assert len(emulator.jobs) <= 8


@attrs.define
class Shown:
    calls: list[str] = attrs.field(factory=list)

    def start(self, batch: Any) -> None:
        self.calls.append(f"start {batch.endpoint_id} {batch.summary.total}")

    def changed(self) -> None:
        self.calls.append("changed")

    def end(self) -> None:
        self.calls.append("end")


async def test_a_display_is_notified_of_start_changes_and_end(fal: Session, echo: str) -> None:
    display = Shown()
    await fal.map(echo, [{}, {}], progress=display).collect()

    assert display.calls[0] == "start me/echo 2"
    assert display.calls[-1] == "end"
    assert set(display.calls[1:-1]) == {"changed"}


@pytest.mark.parametrize(
    ("inputs", "way_out"),
    [
        ({"prompt": "a cat"}, "expected an iterable"),
        ("prompts.txt", "expected an iterable"),
        (b"{}", "expected an iterable"),
        (7, "expected an iterable"),
        (numbers, "call it"),
        (BatchItem(index=1), "one input"),
    ],
)
async def test_inputs_that_are_not_an_iterable_of_inputs_are_refused(
    fal: Session, inputs: Any, way_out: str
) -> None:
    with pytest.raises(ConfigurationError, match=way_out):
        fal.map("me/echo", inputs)


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"retries": -1},
        {"ordered": 1},
        {"timeout": 0},
        {"max_failures": 1.5},
        {"max_failures": True},
        {"on_item": 7},
        {"on_item": lambda: None},
        {"progress": "yes"},
        {"priority": "high"},
    ],
)
async def test_a_wrong_argument_of_map_is_refused_by_name(fal: Session, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        fal.map("me/echo", [], **wrong)


async def test_an_unknown_argument_of_map_raises_with_the_name_that_may_be_meant(fal: Session) -> None:
    with pytest.raises(TypeError, match="concurrency"):
        fal.map("me/echo", [], concurency=4)  # type: ignore[call-arg]


async def test_a_batch_can_be_iterated_and_entered_only_once(fal: Session, echo: str) -> None:
    batch = fal.map(echo, [{}])
    await batch.collect()

    with pytest.raises(SessionStateError, match="create another one"):
        await batch.collect()
    await batch.aclose()
    with pytest.raises(SessionStateError, match="create another one"):
        await batch.__aenter__()
