"""A batch with a ledger: the same code again finishes the run, and pays for nothing twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fal_async import (
    AuthenticationError,
    BatchStoppedError,
    ClientTimeoutError,
    ConfigurationError,
    DownloadError,
    KeyConflictError,
    PermissionDeniedError,
    ServerError,
    Session,
    SessionStateError,
    SubmissionUncertainError,
    ValidationError,
)
from fal_async.emulator import Emulator, Fault, ModelError
from fal_async.ledger.opening import Where
from tests.batch.test_leaving import begun
from tests.batch.test_map import echo as echo
from tests.batch.test_map import items_of, numbers, take
from tests.quick import GATE, gate_at, session_on


@pytest.fixture
def ledger(where: Where) -> Where:
    """Where the ledger is: the tests run with each kind of ledger."""
    return where


@asynccontextmanager
async def run_on(emulator: Emulator, ledger: Where, **options: Any) -> AsyncIterator[Session]:
    async with session_on(emulator, ledger=ledger, **options) as fal:
        yield fal


async def test_a_second_run_of_the_same_inputs_sends_nothing(
    emulator: Emulator, echo: str, ledger: Where
) -> None:
    async with run_on(emulator, ledger) as fal:
        first = await fal.map(echo, numbers(10)).collect()
    sent = emulator.count()
    async with run_on(emulator, ledger) as fal, fal.map(echo, numbers(10)) as batch:
        second = await items_of(batch)

    assert len(emulator.jobs) == 10
    assert emulator.count() == sent
    assert [item.unwrap().data for item in first] == [{"n": n} for n in range(10)]
    assert sorted(item.unwrap().data["n"] for item in second) == list(range(10))
    assert {item.key for item in second} == {item.key for item in first}
    assert all(item.from_ledger and item.attempts == 1 for item in second)
    assert (batch.summary.from_ledger, batch.summary.done, batch.summary.unpriced) == (10, 10, 10)


async def test_a_run_with_further_inputs_submits_only_those(
    emulator: Emulator, echo: str, ledger: Where
) -> None:
    async with run_on(emulator, ledger) as fal:
        await fal.map(echo, numbers(5)).collect()
        items = await fal.map(echo, numbers(12), ordered=True).collect()

    assert len(emulator.jobs) == 12
    assert [item.from_ledger for item in items] == [n < 5 for n in range(12)]


async def test_a_run_of_another_name_submits_all_inputs_again(
    emulator: Emulator, echo: str, ledger: Where
) -> None:
    async with run_on(emulator, ledger) as fal:
        await fal.map(echo, numbers(2)).collect()
        items = await fal.map(echo, numbers(2), run="again").collect()
    assert [item.from_ledger for item in items] == [False, False]
    assert len(emulator.jobs) == 4


async def test_inputs_that_all_differ_from_the_run_are_refused_naming_the_member_that_differs(
    emulator: Emulator, echo: str, ledger: Where
) -> None:
    async with run_on(emulator, ledger) as fal:
        await fal.map(echo, [{"prompt": "a", "seed": n} for n in range(3)]).collect()
        again = [{"prompt": "a", "seed": 100 + n} for n in range(3)]
        with pytest.raises(
            ConfigurationError, match=r"is in the run 'me/echo'.* extend=True .* run=\. They differ in 'seed'"
        ):
            await fal.map(echo, again).collect()
        assert len(emulator.jobs) == 3

        await fal.map(echo, [again[0], {"prompt": "a", "seed": 1}]).collect()
        await fal.map(echo, again[1:], extend=True).collect()
        await fal.map(echo, again, run="other").collect()
        await fal.map("me/echo/", again, key=lambda input: f"k{input['seed']}").collect()
    assert len(emulator.jobs) == 12


async def test_only_the_first_concurrency_inputs_are_compared_with_the_run(
    emulator: Emulator, echo: str, ledger: Where
) -> None:
    async with run_on(emulator, ledger) as fal:
        await fal.map(echo, [{"n": 0}]).collect()
        with pytest.raises(ConfigurationError, match="none of the first 3 inputs"):
            await fal.map(echo, [{"n": n} for n in (1, 2, 3, 0)], concurrency=3).collect()
        items = await fal.map(echo, [{"n": n} for n in (1, 2, 0)], concurrency=3).collect()
    assert [item.from_ledger for item in items] == [False, False, True]


async def test_a_final_failure_is_replayed_and_submitted_again_only_with_retry_failed(
    emulator: Emulator, ledger: Where
) -> None:
    fixed = False

    @emulator.endpoint("me/picky")
    async def picky(input: Any) -> Any:
        if not fixed:
            raise ModelError(422, "no", "value_error")
        return input

    async with run_on(emulator, ledger) as fal:
        for _ in range(2):
            (item,) = await fal.map("me/picky", [{}]).collect()
            assert isinstance(item.error, ValidationError)
        assert item.from_ledger
        assert len(emulator.jobs) == 1
        fixed = True
        (item,) = await fal.map("me/picky", [{}], retry_failed=True).collect()
    assert item.ok
    assert item.attempts == len(emulator.jobs) == 2


async def test_retries_count_over_all_runs_of_an_entry(emulator: Emulator, ledger: Where) -> None:
    @emulator.endpoint("me/shaky")
    async def shaky(_: Any) -> Any:
        raise ModelError(500, "out of memory", "internal_server_error")

    async with run_on(emulator, ledger) as fal:
        (item,) = await fal.map("me/shaky", [{}], retries=1, no_retry=True).collect()
        assert isinstance(item.error, ServerError)
        assert item.attempts == len(emulator.jobs) == 2
        (item,) = await fal.map("me/shaky", [{}], retries=1, no_retry=True).collect()
        assert len(emulator.jobs) == 2
        (item,) = await fal.map("me/shaky", [{}], retries=3, no_retry=True).collect()
        assert item.attempts == len(emulator.jobs) == 4
        (item,) = await fal.map("me/shaky", [{}], retries=0, retry_failed=True, no_retry=True).collect()
        assert len(emulator.jobs) == 5


async def test_equal_inputs_with_the_same_key_share_one_request_in_the_ledger(
    emulator: Emulator, echo: str, ledger: Where
) -> None:
    inputs = [{"id": "a", "n": 1}, {"id": "a", "n": 1}, {"id": "a", "n": 2}, {"id": "b"}]
    async with run_on(emulator, ledger) as fal, fal.map(echo, inputs, key="id", ordered=True) as batch:
        items = await items_of(batch)

    assert [item.ok for item in items] == [True, True, False, True]
    assert isinstance(items[2].error, KeyConflictError)
    assert len(emulator.jobs) == 2
    assert batch.summary.unpriced == 2


async def test_a_refused_key_leaves_nothing_claimed_and_the_next_run_continues(
    emulator: Emulator, echo: str, ledger: Where
) -> None:
    emulator.faults.add(Fault.answer(401, on="submit", after=3, times=None))
    given: list[Any] = []
    async with run_on(emulator, ledger) as fal:
        with pytest.raises(AuthenticationError):
            await take(fal.map(echo, numbers(50), concurrency=2), given)
    emulator.faults.clear()
    async with run_on(emulator, ledger) as fal:
        items = await fal.map(echo, numbers(50)).collect()

    assert [item.ok for item in given] == [True] * 3
    assert sum(item.from_ledger for item in items) == 3
    assert all(item.ok for item in items)
    assert len(emulator.jobs) == 50


async def test_a_403_to_every_submit_stops_the_run(emulator: Emulator, echo: str, ledger: Where) -> None:
    emulator.faults.add(Fault.answer(403, on="submit", times=None))
    async with run_on(emulator, ledger) as fal:
        with pytest.raises(PermissionDeniedError):
            await fal.map(echo, numbers(100), concurrency=2).collect()
    assert emulator.count("submit") <= 4


async def test_an_uncertain_submit_is_counted_and_found_by_the_next_run(
    emulator: Emulator, echo: str, ledger: Where
) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    async with run_on(emulator, ledger) as fal, fal.map(echo, numbers(3), uncertain="report") as batch:
        items = await items_of(batch)
    assert batch.summary.uncertain == 1
    assert sum(isinstance(item.error, SubmissionUncertainError) for item in items) == 1
    assert [item.attempts for item in items] == [1, 1, 1]
    assert len(emulator.jobs) == 3

    async with run_on(emulator, ledger) as fal:
        items = await fal.map(echo, numbers(3)).collect()
    assert all(item.ok for item in items)
    assert len(emulator.jobs) == 3


async def test_leaving_a_batch_cancels_queued_requests_and_leaves_running_ones(
    emulator: Emulator, ledger: Where, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "fal_async")
    gate = gate_at(emulator)
    async with run_on(emulator, ledger) as fal:
        async with fal.map(GATE, numbers(100), concurrency=5) as batch:
            waiting = await begun(emulator, batch)
            while batch.summary.running < 2:
                await asyncio.sleep(0.01)
        with pytest.raises(StopAsyncIteration):
            await waiting
    assert emulator.count("cancel") == 3
    assert "3 requests were cancelled; 2 are still at fal" in caplog.text

    gate.open()
    async with run_on(emulator, ledger) as fal:
        items = await fal.map(GATE, numbers(5)).collect()
    assert all(item.ok for item in items)
    assert len(emulator.jobs) == 5 + 3


async def test_cancel_on_exit_cancels_running_requests_too(emulator: Emulator, ledger: Where) -> None:
    gate_at(emulator)
    async with run_on(emulator, ledger) as fal:
        async with fal.map(GATE, numbers(100), concurrency=5, cancel_on_exit=True) as batch:
            waiting = await begun(emulator, batch)
        with pytest.raises(StopAsyncIteration):
            await waiting
    assert emulator.count("cancel") == 5


async def test_closing_the_session_ends_the_batch_with_a_session_state_error(
    emulator: Emulator, ledger: Where
) -> None:
    gate_at(emulator)
    async with run_on(emulator, ledger) as fal:
        batch = fal.map(GATE, numbers(100), concurrency=5)
        waiting = await begun(emulator, batch)
        while batch.summary.running < 2:
            await asyncio.sleep(0.01)
    with pytest.raises(SessionStateError):
        await waiting
    assert emulator.count("cancel") == 3


async def left_while_both_run(fal: Session, **how: Any) -> None:
    """Run a batch of two inputs, and leave it as soon as both requests run."""
    async with fal.map(GATE, numbers(2), concurrency=2, **how) as batch:
        waiting = asyncio.ensure_future(anext(batch))
        while batch.summary.running < 2:
            await asyncio.sleep(0.01)
    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_requests_left_by_an_earlier_run_are_fetched_whatever_the_inputs_are(
    emulator: Emulator, echo: str, ledger: Where
) -> None:
    gate = gate_at(emulator)
    async with run_on(emulator, ledger) as fal:
        await left_while_both_run(fal)
    gate.open()
    async with run_on(emulator, ledger) as fal:
        await fal.map(GATE, [{"n": 1}]).collect()
        results = emulator.count("result")
        await fal.map(GATE, numbers(2)).collect()
    assert emulator.count("result") == results == 2
    assert len(emulator.jobs) == 2


async def test_a_request_that_an_earlier_run_cancelled_too_late_is_submitted_again(
    emulator: Emulator, ledger: Where
) -> None:
    gate = gate_at(emulator)
    async with run_on(emulator, ledger) as fal:
        await left_while_both_run(fal, cancel_on_exit=True)
    gate.open()
    async with run_on(emulator, ledger) as fal:
        items = await fal.map(GATE, numbers(2)).collect()
    assert [item.unwrap().data for item in items] == [{"n": 0}, {"n": 1}]
    assert len(emulator.jobs) == 4


async def test_failures_of_an_earlier_run_do_not_stop_the_next_one(emulator: Emulator, ledger: Where) -> None:
    @emulator.endpoint("me/picky")
    async def picky(input: Any) -> Any:
        raise ModelError(422, [{"loc": ["body", "n"], "msg": "no", "type": "value_error"}])

    async with run_on(emulator, ledger) as fal:
        for ended in (2, 4, 6):
            with pytest.raises(BatchStoppedError, match=r"^2 of 2 items failed"):
                await fal.map("me/picky", numbers(6), concurrency=1, max_failures=1).collect()
            assert len(emulator.jobs) == ended
        assert len(await fal.map("me/picky", numbers(6), concurrency=1, max_failures=1).collect()) == 6


async def test_a_request_that_exceeds_timeout_goes_on_and_the_next_run_takes_it_up(
    emulator: Emulator, ledger: Where
) -> None:
    gate = gate_at(emulator)
    async with run_on(emulator, ledger) as fal:
        (item,) = await fal.map(GATE, [{}], timeout=0.05).collect()
        assert isinstance(item.error, ClientTimeoutError)
        assert item.attempts == 1
        gate.open()
        (item,) = await fal.map(GATE, [{}]).collect()
    assert item.ok
    assert emulator.count("cancel") == 0
    assert len(emulator.jobs) == 1


async def test_a_request_of_another_process_with_unknown_status_is_not_cancelled(
    emulator: Emulator, ledger: Where
) -> None:
    gate = gate_at(emulator)
    emulator.faults.add(Fault.stall(30, on="status"))

    async def inputs() -> AsyncIterator[dict[str, str]]:
        async with run_on(emulator, ledger) as other:  # after the batch has looked for open requests
            await other.queue.submit(GATE, {"id": "a"}, key="a", run=GATE)
        yield {"id": "a"}

    async with run_on(emulator, ledger) as fal, fal.map(GATE, inputs(), key="id") as batch:
        first = asyncio.ensure_future(anext(batch))
        await emulator.wait_for("status")
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    assert emulator.count("cancel") == 0
    gate.open()
    async with run_on(emulator, ledger) as fal:
        (item,) = await fal.map(GATE, [{"id": "a"}], key="id").collect()
    assert item.ok
    assert len(emulator.jobs) == 1


async def test_a_request_that_has_begun_to_run_unnoticed_is_not_cancelled(
    emulator: Emulator, ledger: Where
) -> None:
    gate = gate_at(emulator)
    emulator.faults.add(Fault.stall(30, on="status", times=1))
    async with run_on(emulator, ledger) as fal, fal.map(GATE, numbers(1)) as batch:
        first = asyncio.ensure_future(anext(batch))
        await emulator.wait_for("status")
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    assert gate.started == [{"n": 0}]
    assert emulator.count("cancel") == 0
    gate.open()
    async with run_on(emulator, ledger) as fal:
        (item,) = await fal.map(GATE, numbers(1)).collect()
    assert item.ok
    assert len(emulator.jobs) == 1


@pytest.mark.parametrize("ordered", [False, True])
async def test_an_item_held_by_another_process_takes_no_place(
    emulator: Emulator, ledger: Where, ordered: bool
) -> None:
    first_gate, jobs = asyncio.Event(), emulator.jobs

    @emulator.endpoint("me/first-is-slow")
    async def slow(input: Any) -> Any:
        if input["n"] == 0:
            await first_gate.wait()
        return input

    async with run_on(emulator, ledger) as one, run_on(emulator, ledger) as other:
        first = one.map("me/first-is-slow", [{"n": 0}])
        its_own = asyncio.ensure_future(anext(first))
        while first.summary.running < 1:
            await asyncio.sleep(0.01)
        second = other.map("me/first-is-slow", numbers(3), concurrency=1, ordered=ordered)
        all_items = asyncio.ensure_future(items_of(second))
        while len(jobs) < (2 if ordered else 3):
            await asyncio.sleep(0.01)
        first_gate.set()
        items = await all_items
        await its_own
        await first.aclose()
    assert [item.index for item in items] == ([0, 1, 2] if ordered else [1, 2, 0])
    assert all(item.ok for item in items)
    assert len(jobs) == 3


async def test_existing_files_are_not_downloaded_again_and_missing_ones_are(
    emulator: Emulator, ledger: Where, tmp_path: Path
) -> None:
    @emulator.endpoint("me/pictures")
    async def pictures(input: Any) -> Any:
        return {"images": [{"url": url} for url in input["urls"]]}

    out = tmp_path / "out"
    async with run_on(emulator, ledger) as fal:
        urls = [await fal.upload(content, file_name="picture.png") for content in (b"one", b"two")]
        inputs = [{"id": "a", "urls": urls}]
        (item,) = await fal.map("me/pictures", inputs, key="id", download=out).collect()
        fetched = emulator.count("file")
        (item,) = await fal.map("me/pictures", inputs, key="id", download=out).collect()
        assert emulator.count("file") == fetched
        item.files[1].write_bytes(b"tw")
        (item,) = await fal.map("me/pictures", inputs, key="id", download=out).collect()
        assert emulator.count("file") == fetched + 1
        moved = out.rename(tmp_path / "moved")
        (item,) = await fal.map("me/pictures", inputs, key="id", download=moved).collect()
        assert emulator.count("file") == fetched + 1

    assert item.from_ledger
    assert [path.read_bytes() for path in item.files] == [b"one", b"two"]
    assert all(path.parent == moved for path in item.files)
    assert len(emulator.jobs) == 1


async def test_an_item_with_deleted_files_is_submitted_again_only_with_retry_failed(
    emulator: Emulator, ledger: Where, tmp_path: Path
) -> None:
    urls: list[str] = []

    @emulator.endpoint("me/pictures")
    async def pictures(_: Any) -> Any:
        return {"images": [{"url": urls[-1]}]}

    async with run_on(emulator, ledger) as fal:
        good = await fal.upload(b"one", file_name="picture.png")
        urls.append(good.replace("picture", "nothing"))
        for _ in range(2):
            (item,) = await fal.map("me/pictures", [{}], download=tmp_path / "out").collect()
            assert isinstance(item.error, DownloadError)
            assert item.result is not None
        assert len(emulator.jobs) == 1
        urls.append(good)
        (item,) = await fal.map("me/pictures", [{}], download=tmp_path / "out", retry_failed=True).collect()
    assert item.ok
    assert item.attempts == len(emulator.jobs) == 2


async def test_other_credentials_need_a_tenant(emulator: Emulator, echo: str, ledger: Where) -> None:
    async with run_on(emulator, ledger) as fal:
        other = fal.with_options(credentials=emulator.key)
        with pytest.raises(ConfigurationError, match="tenant"):
            other.map(echo, [{}])
        (item,) = await fal.with_options(credentials=emulator.key, tenant="acme").map(echo, [{}]).collect()
        assert item.ok


async def test_resubmit_without_a_ledger_is_refused(fal: Session, echo: str) -> None:
    with pytest.raises(ConfigurationError, match="ledger"):
        fal.map(echo, [], uncertain="resubmit")
    with pytest.raises(ConfigurationError, match="uncertain"):
        fal.map(echo, [], uncertain="maybe")  # type: ignore[arg-type]
