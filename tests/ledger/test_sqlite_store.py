"""The store in an SQLite file: what each write changes, and what it leaves alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fal_async.ledger.opening import open_store
from fal_async.ledger.store import Hold, Store
from tests.ledger.samples import ORIGIN, done, failed, new_claim, place


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(tmp_path / "runs.db")
    yield store
    await store.aclose()


async def claimed(store: Store, key: str = "order-42", *, seen: int | None = None) -> Hold:
    hold = await store.claim(new_claim(key, seen=seen))
    assert hold is not None
    return hold


async def test_one_key_from_the_claim_to_its_end(store: Store) -> None:
    assert await store.find(place()) is None
    hold = await store.claim(new_claim(input='{"prompt": "a cat"}'))
    assert hold is not None
    record = await store.find(place())
    assert record is not None
    assert (record.state, record.attempts, record.owner_lives) == ("claimed", 1, True)
    assert store.owns(record)
    record = await store.submitted(hold, "request-1", 101.0)
    assert (record.state, record.request_id, record.submitted_at) == ("submitted", "request-1", 101.0)
    record = await store.end(hold.entry, "request-1", done())
    assert record == await store.find(place())
    assert (record.state, record.ended_at, record.owner) == ("done", 120.0, None)
    assert record.input is not None
    assert record.end is not None
    assert record.input.body == b'{"prompt": "a cat"}'
    assert record.end.body == b'{"images": []}'
    assert record.headers == {"content-type": "application/json"}
    assert await store.find_request(ORIGIN, "request-1") == record
    assert await store.find_request("http://127.0.0.1:1", "request-1") is None


async def test_a_claim_on_what_was_not_seen_is_refused(store: Store) -> None:
    hold = await claimed(store)
    assert await store.claim(new_claim()) is None
    assert await store.claim(new_claim(seen=7)) is None
    assert await store.claim(new_claim("other", seen=1)) is None
    await store.withdraw(hold)
    assert await store.find(place()) is None


async def test_a_withdrawn_further_attempt_leaves_the_entry_as_it_was(store: Store) -> None:
    hold = await claimed(store)
    await store.submitted(hold, "request-1", 101.0)
    before = await store.end(hold.entry, "request-1", failed(final=True))
    await store.withdraw(await claimed(store, seen=before.version))
    after = await store.find(place())
    assert after is not None
    assert (after.state, after.final, after.attempts, after.requests) == ("failed", True, 1, before.requests)
    assert after.end == before.end
