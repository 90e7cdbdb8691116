"""The store, in an SQLite file and in PostgreSQL: what each write changes, and what it does not change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal, localcontext

import attrs
import pytest

from fal_async import LedgerError, SessionStateError
from fal_async.ledger.opening import Where, open_store
from fal_async.ledger.store import Costs, Hold, Search, Store
from fal_async.protocol.ledger.entry import Record
from tests.ledger.samples import ORIGIN, done, failed, new_claim, place


@pytest.fixture
async def store(where: Where) -> AsyncIterator[Store]:
    store = await open_store(where)
    yield store
    await store.aclose()


async def claimed(store: Store, key: str = "order-42", *, seen: int | None = None) -> Hold:
    hold = await store.claim(new_claim(key, seen=seen))
    assert hold is not None
    return hold


async def test_a_key_is_stored_with_each_step_from_its_claim_to_its_outcome(store: Store) -> None:
    assert await store.find(place()) is None
    hold = await store.claim(new_claim(input='{"prompt": "a cat"}'))
    assert hold is not None
    record = await store.find(place())
    assert record is not None
    assert (record.state, record.attempts, record.owner_lives) == ("claimed", 1, True)
    assert store.owns(record)
    record = await store.submitted(hold, "request-1", 101.0)
    assert (record.state, record.request_id, record.submitted_at) == ("submitted", "request-1", 101.0)
    ended = await store.end(hold.entry, "request-1", done())
    record = await store.find(place())
    assert record is not None
    assert ended == attrs.evolve(record, input=None)
    assert (record.state, record.ended_at, record.owner) == ("done", 120.0, None)
    assert record.input is not None
    assert record.end is not None
    assert record.input.body == b'{"prompt": "a cat"}'
    assert record.end.body == b'{"images": []}'
    assert record.headers == {"content-type": "application/json"}
    assert await store.find_request(ORIGIN, "request-1") == record
    assert await store.find_request("http://127.0.0.1:1", "request-1") is None


async def test_a_wait_for_a_change_ends_when_another_store_changes_or_has_deleted_the_entry(
    where: Where, store: Store
) -> None:
    hold = await claimed(store)
    version = (await store.submitted(hold, "request-1", 101.0)).version
    waiting = asyncio.create_task(store.until_changed(hold.entry, version, 600))
    other = await open_store(where)
    ended = await other.end(hold.entry, "request-1", done())
    await waiting
    assert await other.forget(hold.entry, ended.version)
    await store.until_changed(hold.entry, ended.version, 600)
    await other.aclose()


async def test_a_claim_with_an_outdated_version_is_refused(store: Store) -> None:
    hold = await claimed(store)
    assert await store.claim(new_claim()) is None
    assert await store.claim(new_claim(seen=7)) is None
    assert await store.claim(new_claim("other", seen=1)) is None
    await store.withdraw(hold)
    assert await store.find(place()) is None


async def test_withdrawing_a_further_attempt_restores_the_earlier_outcome_of_the_entry(store: Store) -> None:
    hold = await claimed(store)
    await store.submitted(hold, "request-1", 101.0)
    before = await store.end(hold.entry, "request-1", failed(final=True))
    await store.withdraw(await claimed(store, seen=before.version))
    after = await store.find(place())
    assert after is not None
    assert (after.state, after.final, after.attempts, after.requests) == ("failed", True, 1, before.requests)
    assert after.end == before.end


async def test_withdrawing_a_claim_twice_keeps_the_claim_of_another_owner(store: Store, where: Where) -> None:
    hold = await claimed(store)
    await store.submitted(hold, "request-1", 101.0)
    ended = await store.end(hold.entry, "request-1", failed())
    again = await claimed(store, seen=ended.version)
    await store.withdraw(again)
    other = await open_store(where)
    free = await other.find(place())
    assert free is not None
    await claimed(other, seen=free.version)
    theirs = await other.find(place())
    await store.withdraw(again)
    assert await other.find(place()) == theirs
    await other.aclose()


async def test_a_second_outcome_of_a_request_changes_nothing(store: Store) -> None:
    hold = await claimed(store)
    await store.submitted(hold, "request-1", 101.0)
    first = await store.end(hold.entry, "request-1", done())
    assert await store.end(hold.entry, "request-1", failed()) == first


async def test_the_outcome_of_an_unknown_request_is_stored_as_a_further_attempt(store: Store) -> None:
    hold = await claimed(store)
    record = await store.end(hold.entry, "request-9", done())
    assert (record.state, record.attempts, record.request_id) == ("done", 2, "request-9")


async def test_the_outcome_of_an_older_attempt_becomes_that_of_the_entry_only_if_it_is_a_result(
    store: Store,
) -> None:
    for outcome, state in ((done(), "done"), (failed(), "submitted")):
        key = f"key-{state}"
        hold = await claimed(store, key)
        await store.uncertain(hold, 110.0)
        record = await store.find(place(key))
        assert record is not None
        newer = await claimed(store, key, seen=record.version)
        await store.submitted(newer, f"newer-{state}", 111.0)
        late = await store.submitted(hold, f"late-{state}", 112.0)
        assert [request.request_id for request in late.requests] == [f"late-{state}", f"newer-{state}"]
        assert (await store.end(hold.entry, f"late-{state}", outcome)).state == state


async def test_a_request_that_fails_after_a_newer_one_has_failed_leaves_no_entry_under_way(
    store: Store,
) -> None:
    hold = await claimed(store)
    await store.uncertain(hold, 110.0)
    record = await store.find(place())
    assert record is not None
    newer = await claimed(store, seen=record.version)
    await store.submitted(newer, "request-2", 111.0)
    before = await store.end(newer.entry, "request-2", failed(final=True))
    assert (await store.submitted(hold, "request-1", 112.0)).state == "submitted"
    after = await store.end(hold.entry, "request-1", failed())
    assert (after.state, after.final, after.request_id) == ("failed", True, "request-2")
    assert after.end == before.end


async def test_a_late_request_id_of_an_older_attempt_does_not_end_the_newer_claim(store: Store) -> None:
    hold = await claimed(store)
    await store.uncertain(hold, 110.0)
    record = await store.find(place())
    assert record is not None
    newer = await claimed(store, seen=record.version)
    late = await store.submitted(hold, "request-1", 112.0)
    assert (late.state, [request.request_id for request in late.requests]) == ("claimed", ["request-1", None])
    record = await store.submitted(newer, "request-2", 113.0)
    assert (record.state, record.request_id) == ("submitted", "request-2")


async def test_a_request_id_adopted_by_the_wrong_entry_returns_to_the_right_one(store: Store) -> None:
    guessed = await claimed(store, "guessed")
    await store.uncertain(guessed, 110.0)
    record = await store.find(place("guessed"))
    assert record is not None
    hold = await claimed(store, "right")
    assert await store.adopt(record.number, record.version, 1, "request-1", 111.0) is not None
    assert (await store.submitted(hold, "request-1", 112.0)).request_id == "request-1"
    record = await store.find(place("guessed"))
    assert record is not None
    assert (record.state, record.request_id) == ("uncertain", None)
    assert await store.known(["request-1", "request-2"]) == {"request-1"}
    assert await store.adopt(record.number, record.version, 1, "request-1", 113.0) is None
    assert await store.adopt(record.number, record.version - 1, 1, "request-3", 113.0) is None


async def test_cancelling_a_claim_at_any_step_leaves_no_entry(store: Store) -> None:
    for steps in range(4):
        task = asyncio.ensure_future(store.claim(new_claim(f"key-{steps}")))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        if not await cancelled(task):
            continue
        await store.known([])  # returns after the earlier operations have set their futures
        await store.known([])
        assert await store.find(place(f"key-{steps}")) is None


async def test_a_claim_cancelled_while_its_store_closes_leaves_no_entry(where: Where, store: Store) -> None:
    closing = await open_store(where)
    await claimed(closing, "other")
    task = asyncio.ensure_future(closing.claim(new_claim()))
    await asyncio.sleep(0)
    task.cancel()
    assert await cancelled(task)
    await closing.aclose()
    assert await store.find(place()) is None


async def cancelled(task: asyncio.Future[Hold | None]) -> bool:
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


async def test_a_store_garbage_collected_open_warns_and_releases_its_claims(
    where: Where, store: Store
) -> None:
    forgotten = [await open_store(where)]
    await claimed(forgotten[0])
    await forgotten[0].known([])  # returns after the claim was written
    with pytest.warns(ResourceWarning, match="the ledger .* was left open"):
        forgotten.clear()
    while (record := await store.find(place())) is not None and record.state != "uncertain":
        await asyncio.sleep(0.01)
    assert record is not None


async def test_a_failing_write_does_not_affect_other_writes_of_its_group(store: Store) -> None:
    holds = [await claimed(store, f"key-{number}") for number in range(3)]
    gone = Hold(entry=12345, attempt=1)
    writes = [store.submitted(hold, f"request-{hold.entry}", 101.0) for hold in (*holds, gone)]
    *records, error = await asyncio.gather(*writes, return_exceptions=True)
    assert [record.state for record in records if isinstance(record, Record)] == ["submitted"] * 3
    assert isinstance(error, LedgerError)
    assert "was deleted" in str(error)


async def test_pages_and_costs_cover_only_the_namespace_of_the_search(store: Store) -> None:
    for number in range(25):
        hold = await store.claim(new_claim(place(f"key-{number}", run=f"run-{number % 2}")))
        assert hold is not None
        await store.submitted(hold, f"request-{number}", 101.0)
        priced = attrs.evolve(done(), cost=Decimal("0.1") if number < 20 else None)
        await store.end(hold.entry, f"request-{number}", priced)
    first = await store.page(Search(run="run-0"), limit=10)
    second = await store.page(Search(run="run-0"), after=first[-1].number, limit=10)
    assert [len(first), len(second)] == [10, 3]
    assert await store.page(Search(run="run-0"), after=second[-1].number) == []
    assert await store.page(Search(states=["submitted", "uncertain"])) == []
    assert await store.claim(new_claim(place("key-25", run="run-0"))) is not None
    tenth = Decimal("0.1")
    assert await store.costs(Search(run="run-0")) == Costs(
        known=Decimal("1.0"), highest=tenth, unpriced=3, open=1
    )
    assert await store.costs(Search(run="run-0", endpoint_id="other")) == Costs()
    assert await store.costs(Search()) == Costs(known=Decimal("2.0"), highest=tenth, unpriced=5, open=1)


async def test_costs_are_exact_whatever_their_size_and_the_decimal_context(store: Store) -> None:
    amounts = ["0.1", "0.2", "123456789012345678.000000000000000000123456789012345678", "3.0000001"]
    for number, amount in enumerate(amounts):
        hold = await claimed(store, f"key-{number}")
        await store.submitted(hold, f"request-{number}", 101.0)
        await store.end(hold.entry, f"request-{number}", attrs.evolve(done(), cost=Decimal(amount)))
    with localcontext(prec=3):
        costs = await store.costs(Search())
    exact = Decimal("123456789012345681.300000100000000000123456789012345678")
    assert (costs.known, costs.highest) == (exact, Decimal(amounts[2]))


async def test_a_ledger_can_be_opened_again_while_it_closes(where: Where) -> None:
    for number in range(10):
        store = await open_store(where)
        await claimed(store, f"key-{number}")
        closing = asyncio.ensure_future(store.aclose())
        await asyncio.sleep(0)
        again = await open_store(where)
        assert sum((await again.totals(Search())).values()) == number + 1
        await again.aclose()
        await closing


async def test_a_closed_store_raises_session_state_error(where: Where) -> None:
    store = await open_store(where)
    await store.aclose()
    await store.aclose()
    with pytest.raises(SessionStateError, match="closed"):
        await store.find(place())
