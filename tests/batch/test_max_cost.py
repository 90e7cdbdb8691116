"""What a batch costs, and `max_cost=`, on the emulator with prices and on each kind of ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fal_async import (
    Batch,
    BatchItem,
    BatchStoppedError,
    ConfigurationError,
    Ledger,
    ServerError,
    Session,
    SubmissionUncertainError,
)
from fal_async.emulator import Emulator, Fault, ModelError
from fal_async.ledger.opening import Where
from tests.emulator.gate import Gate
from tests.quick import session_on

CENT, DIME = Decimal("0.01"), Decimal("0.1")


def numbers(count: int) -> Iterator[dict[str, int]]:
    for n in range(count):
        yield {"n": n}


@pytest.fixture(params=["no ledger", "sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Where | None:
    """Where the ledger is: the tests run without one, and with each kind."""
    url: str | None = request.getfixturevalue("database") if request.param == "postgres" else None
    return tmp_path / "runs.db" if request.param == "sqlite" else url


@pytest.fixture
def dime(emulator: Emulator) -> str:
    """A model that costs a dime a request, or what its input says: `units` of ten cents."""

    @emulator.endpoint("me/dime", price="0.1", unit="image")
    async def dime(input: Any, job: Any) -> Any:
        job.bill(float(input.get("units", 1)))
        return input

    return "me/dime"


async def stopped(batch: Batch[Any]) -> tuple[list[BatchItem[Any]], BatchStoppedError]:
    """Return the items of a batch that its limit stops, and the error."""
    items: list[BatchItem[Any]] = []
    try:
        async with batch:
            async for item in batch:
                items.append(item)
    except BatchStoppedError as error:
        return items, error
    pytest.fail(f"the batch was not stopped: {batch.summary}")


# Costs.


async def test_items_and_summary_of_a_batch_have_their_exact_costs(
    emulator: Emulator, dime: str, where: Where
) -> None:
    inputs = [{"units": "3"}, {"units": "3.0000001"}, {"units": "0"}]
    async with session_on(emulator, ledger=where) as fal:
        async with fal.map(dime, inputs, ordered=True) as batch:
            items = [item async for item in batch]
        costs = [Decimal("0.3"), Decimal("0.30000001"), Decimal(0)]
        assert [item.cost for item in items] == costs
        assert [item.unwrap().cost for item in items] == costs
        spent = Decimal("0.60000001")
        assert (batch.summary.cost, batch.summary.spent, batch.summary.unpriced) == (spent, spent, 0)
        async with fal.map(dime, inputs, ordered=True) as again:
            replays = [item async for item in again]
    assert all(item.from_ledger for item in replays)
    assert [item.cost for item in replays] == [item.unwrap().cost for item in replays] == costs
    assert (again.summary.cost, again.summary.spent, again.summary.unpriced) == (spent, None, 0)
    async with await Ledger.open(where) as ledger:
        summary = await ledger.summary(run=dime)
        entries = [entry async for entry in ledger.entries(run=dime)]
    assert (summary.cost, summary.unpriced) == (spent, 0)
    assert sorted(entry.cost or Decimal(0) for entry in entries) == sorted(costs)


async def test_a_batch_without_a_ledger_and_limit_fetches_no_price(
    fal: Session, emulator: Emulator, dime: str
) -> None:
    async with fal.map(dime, numbers(2)) as batch:
        assert [item.cost async for item in batch] == [None, None]
    assert (batch.summary.cost, batch.summary.unpriced, emulator.count("platform")) == (None, 2, 0)
    await fal.platform.pricing(dime)
    async with fal.map(dime, numbers(2)) as batch:
        assert [item.cost async for item in batch] == [DIME, DIME]
    assert (batch.summary.cost, batch.summary.spent) == (2 * DIME, 2 * DIME)


async def test_the_price_is_fetched_once_for_all_items_that_start_together(
    emulator: Emulator, dime: str, where: Where
) -> None:
    async with session_on(emulator, ledger=where) as fal:
        items = await fal.map(dime, numbers(30), concurrency=30).collect()
        await fal.map(dime, numbers(35), concurrency=35).collect()
    assert [item.cost for item in items] == [DIME] * 30
    assert emulator.count("platform") == 1


async def test_each_attempt_of_a_retried_item_has_its_own_cost(
    emulator: Emulator, dime: str, ledger: Where | None
) -> None:
    fails = [True]

    @emulator.endpoint("me/flaky", price="0.1")
    async def flaky(input: Any) -> Any:
        if fails:
            fails.pop()
            raise ModelError(500, "the runner broke")
        return input

    async with session_on(emulator, ledger=ledger) as fal, fal.map("me/flaky", [{}], max_cost=1) as batch:
        (item,) = [item async for item in batch]
    assert (item.attempts, item.cost) == (2, DIME)
    assert (batch.summary.cost, batch.summary.unpriced) == (DIME, 0), "fal does not bill a 5xx"


async def test_a_run_that_is_continued_at_another_price_has_the_sum_of_both(
    emulator: Emulator, dime: str, where: Where
) -> None:
    async with session_on(emulator, ledger=where) as fal:
        await fal.map(dime, numbers(3)).collect()
    emulator.price(dime, "0.25")
    async with session_on(emulator, ledger=where) as fal, fal.map(dime, numbers(5)) as batch:
        items = [item async for item in batch]
    assert sorted(item.cost or Decimal(0) for item in items) == [DIME] * 3 + [Decimal("0.25")] * 2
    assert (batch.summary.cost, batch.summary.spent) == (Decimal("0.8"), Decimal("0.5"))


async def test_a_platform_that_fails_leaves_the_costs_unknown_and_is_not_asked_again(
    emulator: Emulator, dime: str, where: Where
) -> None:
    emulator.faults.add(Fault.answer(500, on="platform", times=None))
    async with session_on(emulator, ledger=where) as fal:
        for count in (2, 4):
            async with fal.map(dime, numbers(count)) as batch:
                assert [(item.ok, item.cost) async for item in batch] == [(True, None)] * count
            asked = emulator.count("platform")
    assert (batch.summary.cost, batch.summary.unpriced) == (None, 4)
    assert emulator.count("platform") == asked


# The limit.


async def test_a_batch_stops_before_the_submit_that_would_exceed_its_limit(
    emulator: Emulator, dime: str, ledger: Where | None
) -> None:
    async with session_on(emulator, ledger=ledger) as fal:
        items, error = await stopped(fal.map(dime, numbers(30), max_cost=1, concurrency=7))
    assert len(items) == len(emulator.jobs) == 10
    assert all(item.ok and item.cost == DIME for item in items)
    assert error.reason == "max_cost"
    assert (error.summary.cost, error.summary.max_cost, error.summary.running) == (1, 1, 0)
    assert "max_cost=$1.00 has no room for a request of $0.10: $1.00 spent, $0.00 reserved" in error.message


async def test_the_same_line_with_a_higher_limit_pays_only_for_the_rest(
    emulator: Emulator, dime: str, where: Where
) -> None:
    async with session_on(emulator, ledger=where) as fal:
        _, error = await stopped(fal.map(dime, numbers(20), max_cost=Decimal("0.55")))
        assert "Run it again with a higher max_cost: nothing is paid twice" in error.message
        async with fal.map(dime, numbers(20), max_cost=2) as batch:
            items = [item async for item in batch]
    assert len(items) == len(emulator.jobs) == 20
    assert (batch.summary.cost, batch.summary.spent) == (Decimal(2), Decimal("1.5"))


async def test_a_limit_that_is_spent_replays_what_is_done_and_submits_nothing(
    emulator: Emulator, dime: str, where: Where
) -> None:
    async with session_on(emulator, ledger=where) as fal:
        await fal.map(dime, numbers(10)).collect()
        items = await fal.map(dime, numbers(10), max_cost=0.05).collect()
        assert all(item.from_ledger for item in items)
        items, error = await stopped(fal.map(dime, numbers(11), ordered=True, max_cost=0.05))
    assert (len(items), error.summary.cost, len(emulator.jobs)) == (10, 1, 10)


async def test_a_limit_counts_sums_of_tenths_without_rounding(emulator: Emulator, dime: str) -> None:
    async with session_on(emulator) as fal:
        items, _ = await stopped(fal.map(dime, numbers(9), max_cost=0.3))
    assert len(items) == 3


async def test_a_failure_that_fal_does_not_bill_leaves_its_room_to_others(
    emulator: Emulator, ledger: Where | None
) -> None:
    @emulator.endpoint("me/odd", price="0.1")
    async def odd(input: Any) -> Any:
        if input["n"] % 2:
            raise ModelError(500, "odd")
        return input

    limited: dict[str, Any] = {"max_cost": 0.6, "retries": 0}
    async with session_on(emulator, ledger=ledger) as fal, fal.map("me/odd", numbers(10), **limited) as batch:
        items = [item async for item in batch]
    assert sum(item.ok for item in items) == 5
    assert {type(item.error) for item in items} == {type(None), ServerError}
    assert (batch.summary.cost, batch.summary.unpriced) == (Decimal("0.5"), 0)


async def test_a_request_of_unknown_cost_keeps_its_reservation(
    emulator: Emulator, dime: str, ledger: Where | None
) -> None:
    detail = [{"loc": ["body", "n"], "msg": "too dark", "type": "value_error"}]
    emulator.faults.add(Fault.answer(422, on="result", detail=detail, times=None))  # without billable units
    async with session_on(emulator, ledger=ledger) as fal:
        items, error = await stopped(fal.map(dime, numbers(10), max_cost=0.5))
    assert len(items) == len(emulator.jobs) == 5
    assert (error.summary.cost, error.summary.unpriced, error.summary.failed) == (None, 5, 5)
    assert "$0.00 spent, $0.50 reserved" in error.message


async def test_uncertain_submits_use_up_the_limit_until_they_are_resolved(
    emulator: Emulator, dime: str, where: Where
) -> None:
    emulator.history.permitted = False  # else the recovery of the run, which runs beside it, may find them
    emulator.faults.add(Fault.reset(on="submit", taken=True, times=5))
    async with session_on(emulator, ledger=where) as fal:
        lost = fal.map(dime, numbers(10), max_cost=0.5, uncertain="report", concurrency=5)
        items, error = await stopped(lost)
        assert {type(item.error) for item in items} == {SubmissionUncertainError}
        assert len(items) == len(emulator.jobs) == 5
        assert "$0.00 spent, $0.50 reserved" in error.message
        again = fal.map(dime, numbers(10), max_cost=0.5, uncertain="report", concurrency=5)
        items, _ = await stopped(again)
        assert len(emulator.jobs) == 5, "the uncertain ones of the first batch count in the second one, too"
        ids = {job.input["n"]: request_id for request_id, job in emulator.jobs.items()}
    async with await Ledger.open(where) as ledger:
        async for entry in ledger.entries(state="uncertain"):
            await ledger.resolve(entry.key, run=dime, request_id=ids[entry.input["n"]])
    async with session_on(emulator, ledger=where) as fal:
        items, _ = await stopped(fal.map(dime, numbers(10), max_cost=0.7))
    assert (sum(item.ok for item in items), len(emulator.jobs)) == (7, 7)


async def test_running_requests_are_reserved_and_what_they_leave_is_used(
    emulator: Emulator, ledger: Where | None
) -> None:
    gate = Gate()
    emulator.endpoint("me/gate", price="0.1", runners=10)(gate)
    async with session_on(emulator, ledger=ledger) as fal:
        batch = fal.map("me/gate", numbers(10), max_cost=Decimal("0.35"), concurrency=10)
        run = asyncio.create_task(stopped(batch))
        await emulator.wait_for("submit", 3)
        while batch.summary.running < 3:
            await asyncio.sleep(0.01)
        assert emulator.count("submit") == 3, "the others wait for room, although they may start"
        gate.open()
        items, _ = await run
    assert len(items) == len(emulator.jobs) == 3


async def test_items_that_share_a_key_are_paid_once_and_do_not_wait_for_each_other(
    emulator: Emulator, dime: str, ledger: Where | None
) -> None:
    same = [{"n": n // 4} for n in range(12)]
    async with session_on(emulator, ledger=ledger) as fal:
        batch = fal.map(dime, same, key="n", max_cost=0.25, concurrency=12)
        items, _ = await stopped(batch)
    assert len(emulator.jobs) == 2
    assert [item.cost for item in items] == [DIME] * 8
    assert (batch.summary.cost, batch.summary.spent) == (2 * DIME, 2 * DIME)


async def test_calls_that_joined_a_submit_of_a_stopped_batch_submit_it_themselves(
    emulator: Emulator, where: Where
) -> None:
    gate = Gate()
    emulator.endpoint("me/gate", price="0.1", runners=10)(gate)
    async with session_on(emulator, ledger=where) as fal:
        limited = fal.map("me/gate", numbers(4), key="n", max_cost=0.1, concurrency=4, ordered=True)
        run = asyncio.create_task(stopped(limited))
        while limited.summary.running < 1:
            await asyncio.sleep(0.01)
        others = asyncio.gather(
            fal.map("me/gate", [{"n": 1}], key="n").collect(),
            fal.subscribe("me/gate", {"n": 2}, key="2", run="me/gate"),
            fal.queue.submit("me/gate", {"n": 3}, key="3", run="me/gate"),
        )
        gate.open()
        items, _ = await run
        ((joined,), result, handle) = await others
        assert (joined.ok, result.cost, (await handle.wait()).cost) == (True, DIME, DIME)
    assert (len(items), len(emulator.jobs)) == (1, 4)


async def test_a_batch_left_while_submits_wait_for_room_ends_at_once(
    emulator: Emulator, ledger: Where | None
) -> None:
    gate = Gate()
    emulator.endpoint("me/gate", price="0.1")(gate)
    async with session_on(emulator, ledger=ledger) as fal:
        async with fal.map("me/gate", numbers(10), max_cost=0.1, concurrency=10) as batch:
            waits = asyncio.ensure_future(anext(batch))
            await emulator.wait_for("submit", 1)
            while batch.summary.running < 1:
                await asyncio.sleep(0.01)
            waits.cancel()
            await asyncio.wait([waits])
        gate.open()
    assert len(emulator.jobs) == 1


# Prices and estimates.


async def test_a_limit_without_price_and_estimate_is_refused_before_the_first_submit(
    emulator: Emulator, ledger: Where | None
) -> None:
    @emulator.endpoint("me/free")
    async def free(input: Any) -> Any:
        return input

    async with session_on(emulator, ledger=ledger) as fal:
        with pytest.raises(ConfigurationError, match=r"omit max_cost=5, .* no price of me/free \(404"):
            await fal.map("me/free", numbers(3), max_cost=5).collect()
    assert len(emulator.jobs) == 0


async def test_a_limit_reserves_what_a_call_costs_by_the_history_of_the_endpoint(
    emulator: Emulator, dime: str
) -> None:
    async with session_on(emulator) as fal:
        await fal.run(dime, {"units": 4})  # from now on fal estimates 0.4 for a call
        items, error = await stopped(fal.map(dime, numbers(10), max_cost=1, concurrency=10))
    assert len(items) == 7, "0.6 is spent after six, and a seventh fits"
    assert "no room for a request of $0.40: $0.70 spent" in error.message


async def test_a_limit_works_by_price_alone_if_there_is_no_estimate(emulator: Emulator, dime: str) -> None:
    async with session_on(emulator) as fal:
        await fal.platform.pricing(dime)
        emulator.faults.add(Fault.answer(500, on="platform", times=None))
        items, _ = await stopped(fal.map(dime, numbers(10), max_cost=0.4))
    assert len(items) == 4


@pytest.mark.parametrize("amount", [0, -1, float("nan"), float("inf"), Decimal("NaN"), True, "20", [1]])
def test_a_limit_that_is_not_an_amount_is_refused_with_the_value(fal: Session, amount: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"max_cost=.*expected US dollars > 0"):
        fal.map("me/dime", [], max_cost=amount)
