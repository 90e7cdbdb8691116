"""Webhook deliveries in a store: by request id, by the token of a claim, and of requests that it does not know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fal_async.ledger.opening import Where, open_store
from fal_async.ledger.store import Hold, Store
from fal_async.protocol.ledger.entry import End, Record
from tests.ledger.samples import ORIGIN, done, failed, new_claim, place

ENDS = {"done": done(), "failed": failed()}


@pytest.fixture
async def store(where: Where) -> AsyncIterator[Store]:
    store = await open_store(where)
    yield store
    await store.aclose()


async def claimed(store: Store, key: str = "order-42", **claim: Any) -> Hold:
    hold = await store.claim(new_claim(key, **{"token": f"token-{key}", **claim}))
    assert hold is not None
    return hold


async def found(store: Store, key: str = "order-42") -> Record:
    record = await store.find(place(key))
    assert record is not None
    return record


@pytest.mark.parametrize("state", ENDS)
async def test_a_delivery_by_request_id_is_the_outcome_and_its_repetition_changes_nothing(
    store: Store, state: str
) -> None:
    await store.submitted(await claimed(store), "request-1", 101.0)
    first = await store.deliver(ORIGIN, "request-1", 120.0, end=ENDS[state])
    assert first is not None
    assert (first.is_first, first.record.state, first.record.ended_at) == (True, state, 120.0)
    assert first.record.end == ENDS[state].payload
    again = await store.deliver(ORIGIN, "request-1", 130.0, token="token-order-42", end=done('"another"'))
    assert again is not None
    assert (again.is_first, again.record) == (False, first.record)
    assert first.record == await found(store)


@pytest.mark.parametrize("state", ENDS)
async def test_a_delivery_before_the_response_to_its_submit_is_the_outcome_of_the_claim(
    store: Store, state: str
) -> None:
    hold = await claimed(store)
    delivered = await store.deliver(ORIGIN, "request-1", 119.0, token="token-order-42", end=ENDS[state])
    assert delivered is not None
    record = delivered.record
    assert (delivered.is_first, record.state, record.request_id) == (True, state, "request-1")
    assert (record.submitted_at, record.submitted_at_of("request-1"), record.owner) == (119.0, 119.0, None)
    answered = await store.submitted(hold, "request-1", 121.0)
    assert (answered.state, answered.end, answered.attempts) == (state, ENDS[state].payload, 1)
    await store.uncertain(hold, 122.0)
    await store.withdraw(hold)
    assert (await found(store)).requests == record.requests


async def test_a_delivery_settles_an_uncertain_claim_whose_owner_is_gone(where: Where, store: Store) -> None:
    worker = await open_store(where)
    await claimed(worker)
    await worker.aclose()
    assert (await found(store)).state == "uncertain"
    delivered = await store.deliver(ORIGIN, "request-1", 119.0, token="token-order-42", end=done())
    assert delivered is not None
    assert (delivered.record.state, await found(store)) == ("done", delivered.record)


async def test_a_delivery_without_an_outcome_stores_only_the_request_id(store: Store) -> None:
    hold = await claimed(store)
    delivered = await store.deliver(ORIGIN, "request-1", 119.0, token="token-order-42")
    assert delivered is not None
    assert (delivered.is_first, delivered.record.state, delivered.record.owner_lives) == (
        True,
        "submitted",
        True,
    )
    assert (await store.submitted(hold, "request-1", 121.0)).attempts == 1
    assert (await store.end(hold.entry, "request-1", done())).state == "done"
    again = await store.deliver(ORIGIN, "request-1", 122.0)
    assert again is not None
    assert (again.is_first, again.record.end) == (False, done().payload)


@pytest.mark.parametrize("token", [None, "token-order-42", "token-of-nobody"])
async def test_a_delivery_of_an_unknown_request_changes_nothing(store: Store, token: str | None) -> None:
    await store.submitted(await claimed(store), "request-1", 101.0)
    before = await found(store)
    assert await store.deliver(ORIGIN, "request-of-another", 119.0, token=token, end=done()) is None
    assert await store.deliver("http://127.0.0.1:1", "request-1", 119.0, token=token, end=done()) is None
    assert await found(store) == before


async def test_the_token_of_another_claim_does_not_move_a_known_request(store: Store) -> None:
    await store.submitted(await claimed(store, "known"), "request-1", 101.0)
    await claimed(store, "other")
    delivered = await store.deliver(ORIGIN, "request-1", 119.0, token="token-other", end=done())
    assert delivered is not None
    assert (delivered.record.place, (await found(store, "other")).state) == (place("known"), "claimed")


async def test_the_token_of_a_withdrawn_claim_is_unknown_and_can_be_claimed_again(store: Store) -> None:
    await store.withdraw(await claimed(store))
    assert await store.deliver(ORIGIN, "request-1", 119.0, token="token-order-42", end=done()) is None
    await claimed(store)
    assert await store.deliver(ORIGIN, "request-1", 119.0, token="token-order-42", end=done()) is not None


@pytest.mark.parametrize(("end", "state"), [(done(), "done"), (failed(), "claimed"), (None, "claimed")])
async def test_a_late_delivery_of_an_older_attempt_ends_the_newer_claim_only_with_a_result(
    store: Store, end: End | None, state: str
) -> None:
    older = await claimed(store, token="token-1")
    await store.uncertain(older, 110.0)
    newer = await claimed(store, seen=(await found(store)).version, token="token-2")
    delivered = await store.deliver(ORIGIN, "request-1", 119.0, token="token-1", end=end)
    assert delivered is not None
    assert (delivered.is_first, delivered.record.state) == (True, state)
    record = await store.submitted(newer, "request-2", 121.0)
    assert [request.request_id for request in record.requests] == ["request-1", "request-2"]
    assert record.state == ("done" if state == "done" else "submitted")


async def test_a_delivery_wakes_a_process_that_waits_for_the_entry_on_postgresql(database: str) -> None:
    worker, receiver = await open_store(database), await open_store(database)
    waiting = []
    for token in ("token-1", "token-2"):
        hold = await claimed(worker, token, token=token)
        version = (await found(worker, token)).version
        waiting.append(asyncio.create_task(worker.until_changed(hold.entry, version, 600)))
    for _ in range(20):
        await receiver.known([])  # meanwhile, both begin to listen
    await receiver.deliver(ORIGIN, "request-1", 119.0, token="token-1", end=done())
    await waiting[0]
    assert not waiting[1].done()
    waiting[1].cancel()
    await asyncio.wait(waiting)
    await worker.aclose()
    await receiver.aclose()


async def test_an_attempt_is_marked_as_delivered_and_its_token_is_never_shown(store: Store) -> None:
    hold = await claimed(store)
    assert "token-order-42" not in repr(new_claim(token="token-order-42"))
    submitted = await store.submitted(hold, "request-1", 101.0)
    assert "token-order-42" not in repr(submitted)
    await claimed(store, "polled", token=None)
    assert (await found(store)).requests == submitted.requests
    assert [(await found(store, key)).requests[0].by_webhook for key in ("order-42", "polled")] == [
        True,
        False,
    ]
