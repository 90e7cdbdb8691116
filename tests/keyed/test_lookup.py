"""Looking up uncertain entries in fal's history: found and adopted, absent, or still uncertain and why."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from fal_async import PermissionDeniedError, Session, TransportError
from fal_async.emulator import Emulator, Fault
from fal_async.keyed.lookup import Account, LookedUp, Lookups
from fal_async.ledger.opening import open_store
from fal_async.ledger.store import NewClaim, Store
from fal_async.protocol.json_input import encode_json
from fal_async.protocol.ledger.digests import body_digest, input_digest
from fal_async.protocol.ledger.entry import Place, Record, Space
from tests.quick import ASK, GATE, LLM, ONCE, gate_at, session_on

ORIGIN = "https://queue.fal.run"


@attrs.define(kw_only=True)
class Books:
    """A ledger and a session, as keyed calls use them."""

    store: Store
    fal: Session
    emulator: Emulator
    lookups: Lookups = attrs.field(factory=Lookups)

    @property
    def account(self) -> Account:
        return Account(store=self.store, transport=self.fal.transport, settings=self.fal.settings)

    async def claimed(
        self, key: str, input: Any = ASK, *, endpoint_id: str = LLM, tenant: str = "", age: float = 0.0
    ) -> Any:
        place, now = Place(space=Space(origin=ORIGIN, tenant=tenant, run=key), key=key), time.time() - age
        claim = NewClaim(
            place=place,
            endpoint_id=endpoint_id,
            input_digest=input_digest(input),
            body_digest=body_digest(encode_json(input)),
            seen=None,
            claimed_at=now,
            claimed_until=now + 60,
        )
        hold = await self.store.claim(claim)
        assert hold is not None
        return hold

    async def lost(self, key: str, input: Any = ASK, *, taken: bool = True, **where: Any) -> Record:
        """Make an entry whose submit was interrupted. `taken`: whether fal has accepted the request before that."""
        hold = await self.claimed(key, input, **where)
        if taken:
            await self.fal.queue.submit(where.get("endpoint_id", LLM), input)
        await self.store.uncertain(hold, time.time())
        return await self.entry(key, tenant=where.get("tenant", ""))

    async def entry(self, key: str, *, tenant: str = "") -> Record:
        record = await self.store.find(Place(space=Space(origin=ORIGIN, tenant=tenant, run=key), key=key))
        assert record is not None
        return record

    async def settle(self, record: Record, **options: Any) -> LookedUp:
        return await self.lookups.settle(record, self.account, **options)


@pytest.fixture
async def books(fal: Session, emulator: Emulator, tmp_path: Path) -> AsyncIterator[Books]:
    store = await open_store(tmp_path / "runs.db")
    yield Books(store=store, fal=fal, emulator=emulator)
    await store.aclose()


async def test_an_uncertain_entry_adopts_its_request_from_the_history(books: Books) -> None:
    record = await books.lost("k")
    assert await books.settle(record) == LookedUp(settled=True)
    found = await books.entry("k")
    assert found.state == "submitted"
    assert [found.request_id] == list(books.emulator.jobs)
    assert not found.owner_lives


async def test_an_entry_absent_from_the_history_stays_uncertain_while_the_history_may_lag(
    books: Books,
) -> None:
    record = await books.lost("k", taken=False)
    seen = await books.settle(record, resubmit=True)
    assert seen == LookedUp(reason="fal's history lacks it, but may not have caught up")
    assert (await books.entry("k")).state == "uncertain"
    assert books.emulator.count("platform") == 1


async def test_an_entry_absent_from_the_history_after_ten_minutes_may_be_submitted_again(
    books: Books,
) -> None:
    record = await books.lost("k", taken=False, age=800)
    seen = await books.settle(record)
    assert seen.reason == "fal's history has caught up and shows no such request"
    assert (await books.entry("k")).state == "uncertain"
    assert await books.settle(record, resubmit=True) == LookedUp(settled=True)
    given_up = await books.entry("k")
    assert given_up.state == "cancelled"
    assert given_up.attempts == 1
    assert given_up.requests == ()


async def test_a_later_request_of_the_ledger_proves_that_the_history_has_caught_up(books: Books) -> None:
    record = await books.lost("k", taken=False, age=200)
    hold = await books.claimed("later", {"prompt": "later"})
    handle = await books.fal.queue.submit(LLM, {"prompt": "later"})
    await books.store.submitted(hold, handle.request_id, time.time())
    assert (await books.settle(record)).reason.endswith("has caught up and shows no such request")


async def test_a_request_that_belongs_to_another_entry_is_not_adopted(books: Books) -> None:
    hold = await books.claimed("other")
    handle = await books.fal.queue.submit(LLM, ASK)
    await books.store.submitted(hold, handle.request_id, time.time())
    record = await books.lost("k", taken=False)
    assert not (await books.settle(record)).settled
    await books.fal.queue.submit(LLM, ASK)
    assert (await books.settle(record)).settled
    assert (await books.entry("k")).request_id == list(books.emulator.jobs)[1]


async def test_of_two_entries_with_equal_inputs_and_one_accepted_request_one_is_settled(books: Books) -> None:
    await books.lost("a")
    record = await books.lost("b", taken=False)
    await books.settle(record)
    assert sorted([(await books.entry(key)).state for key in "ab"]) == ["submitted", "uncertain"]


async def test_an_entry_with_several_matching_requests_adopts_none(books: Books) -> None:
    await books.fal.queue.submit(LLM, ASK)
    record = await books.lost("k")
    assert (await books.settle(record)).reason.startswith("fal's history shows more requests with this input")
    assert (await books.entry("k")).state == "uncertain"


async def test_a_look_up_does_not_adopt_the_request_of_a_concurrent_call_with_the_same_input(
    books: Books,
) -> None:
    record = await books.lost("k", taken=False)
    hold = await books.claimed("rival")
    handle = await books.fal.queue.submit(LLM, ASK)
    assert (await books.settle(record)).reason == "another call is submitting the same input now"
    await books.store.submitted(hold, handle.request_id, time.time())
    assert (await books.entry("rival")).request_id == handle.request_id
    assert not (await books.settle(record)).settled


async def test_entries_of_another_tenant_are_not_looked_up(books: Books) -> None:
    await books.lost("other", taken=False, tenant="acme")
    record = await books.lost("k")
    assert (await books.settle(record)).settled
    assert (await books.entry("other", tenant="acme")).state == "uncertain"


async def test_many_concurrent_callers_share_two_look_ups(books: Books) -> None:
    records = [await books.lost(f"k-{number}", {"prompt": str(number)}) for number in range(20)]
    seen = await asyncio.gather(*(books.settle(record) for record in records))
    assert {one.settled for one in seen} == {True}
    assert {(await books.entry(record.place.key)).state for record in records} == {"submitted"}
    # One page is read, and the inputs of unknown rows: by one HTTP request per row, or by a page with payloads.
    assert books.emulator.count("platform") <= 22


async def test_an_entry_requested_during_a_look_up_gets_a_look_up_that_includes_it(books: Books) -> None:
    first = await books.lost("a", {"prompt": "a"})
    books.emulator.faults.add(Fault.stall(0.2, on="platform"))
    task = asyncio.create_task(books.settle(first))
    await books.emulator.wait_for("platform")
    second = await books.lost("b", {"prompt": "b"})
    assert (await books.settle(second)).settled
    assert (await task).settled
    assert (await books.entry("b")).state == "submitted"


async def test_cancelling_one_caller_does_not_stop_the_look_up_of_another(books: Books) -> None:
    record = await books.lost("k")
    books.emulator.faults.add(Fault.stall(0.2, on="platform"))
    tasks = [asyncio.create_task(books.settle(record)) for _ in range(2)]
    await books.emulator.wait_for("platform")
    tasks[0].cancel()
    assert (await tasks[1]).settled
    assert tasks[0].cancelled()
    assert (await books.entry("k")).state == "submitted"


async def test_a_look_up_cancelled_at_any_step_leaves_an_entry_that_can_be_settled(books: Books) -> None:
    for steps in range(0, 60, 3):
        record = await books.lost(f"k-{steps}", {"steps": steps})
        task = asyncio.create_task(books.settle(record))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        entry = await books.entry(f"k-{steps}")
        if entry.state == "uncertain":
            assert (await books.settle(entry)).settled
        assert (await books.entry(f"k-{steps}")).request_id == list(books.emulator.jobs)[-1]


async def test_an_entry_that_was_settled_before_is_reported_as_settled(books: Books) -> None:
    record = await books.lost("k")
    assert (await books.settle(record)).settled
    assert (await books.settle(record)).settled


# A history that does not show the request.


async def test_a_look_up_finds_the_request_once_the_history_has_caught_up(books: Books) -> None:
    books.emulator.history.lag = 3_600.0
    record = await books.lost("k")
    assert "may not have caught up" in (await books.settle(record, resubmit=True)).reason
    books.emulator.history.lag = 0.0
    assert (await books.settle(record)).settled


async def test_a_history_that_lists_only_completed_requests_shows_the_request_when_it_is_complete(
    books: Books,
) -> None:
    gate = gate_at(books.emulator)
    books.emulator.history.only_ended = True
    record = await books.lost("k", {"n": 1}, endpoint_id=GATE)
    assert "may not have caught up" in (await books.settle(record, resubmit=True)).reason
    gate.open()
    (job,) = books.emulator.jobs.values()
    await job.wait_for("COMPLETED")
    assert (await books.settle(record)).settled


async def test_a_history_without_payloads_never_proves_that_a_request_is_absent(books: Books) -> None:
    books.emulator.history.payloads = False
    record = await books.lost("k", age=800)
    (job,) = books.emulator.jobs.values()
    job.submitted_at -= 800
    assert (await books.settle(record, resubmit=True)).reason == "fal's history does not show the inputs"


async def test_a_key_without_permission_for_the_history_is_reported_as_the_cause(books: Books) -> None:
    books.emulator.history.permitted = False
    record = await books.lost("k")
    seen = await books.settle(record, resubmit=True)
    assert isinstance(seen.cause, PermissionDeniedError)
    assert "may not read requests" in seen.reason
    assert not seen.settled


async def test_an_unreachable_platform_api_is_reported_as_the_cause(books: Books) -> None:
    record = await books.lost("k")
    await books.emulator.pause()
    async with session_on(books.emulator, retry=ONCE) as once:
        account = Account(store=books.store, transport=once.transport, settings=once.settings)
        seen = await books.lookups.settle(record, account)
    assert isinstance(seen.cause, TransportError)
    await books.emulator.resume()
    assert (await books.settle(record)).settled


@pytest.mark.parametrize("ahead", [3_600.0, -3_600.0])
async def test_a_look_up_finds_the_request_although_the_clocks_differ(books: Books, ahead: float) -> None:
    books.emulator.history.clock_ahead = ahead
    record = await books.lost("k")
    assert (await books.settle(record)).settled


async def test_whether_the_history_has_caught_up_is_judged_by_the_clock_of_fal(books: Books) -> None:
    books.emulator.history.clock_ahead = 3_600.0
    record = await books.lost("k", taken=False)
    assert "may not have caught up" in (await books.settle(record, resubmit=True)).reason


async def test_an_entry_with_store_io_false_is_not_looked_up(books: Books) -> None:
    record = await books.lost("k")
    seen = await books.settle(record, resubmit=True, store_io=False)
    assert "store_io=False" in seen.reason
    assert books.emulator.count("platform") == 0


async def test_a_session_with_a_proxy_url_does_not_look_up_entries(books: Books) -> None:
    record = await books.lost("k")
    async with Session(proxy_url="http://127.0.0.1:1/api") as proxied:
        account = Account(store=books.store, transport=proxied.transport, settings=proxied.settings)
        seen = await books.lookups.settle(record, account)
    assert "proxy_url" in seen.reason
