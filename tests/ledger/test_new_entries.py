"""Concurrent writes of many calls: few statements, and the same rows as with separate writes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from fal_async.ledger.opening import open_store
from fal_async.ledger.sql import after_submit, claims, delivered
from fal_async.ledger.sqlite import reads, schema
from fal_async.ledger.sqlite.alike import IS_POSSIBLE, UnlikeError
from fal_async.ledger.sqlite.new_entries import CLAIM, END, SUBMITTED
from fal_async.ledger.sqlite.reads import Tables
from fal_async.ledger.sqlite.writes import deliver, run
from fal_async.ledger.store import Hold
from fal_async.protocol.ledger.entry import Owner, Record
from tests.ledger.samples import ORIGIN, done, failed, new_claim, place

KEYS = [f"key-{number}" for number in range(45)]
pytestmark = pytest.mark.skipif(not IS_POSSIBLE, reason="this SQLite is too old for combined writes")


@pytest.fixture
def tables() -> Iterator[Tables]:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    schema._create(db)
    db.execute("INSERT INTO owners (id, host, pid, since) VALUES (7, 'here', 1, 1.0)")
    yield Tables(db=db, lives=lambda _: True, owners={7: Owner(number=7, host="here", pid=1, since=1.0)})
    db.close()


def claimed(tables: Tables, keys: list[str] = KEYS) -> list[Hold]:
    new = [CLAIM.take(tables, 7, new_claim(key, input='{"prompt": "a cat"}')) for key in keys]
    return list(CLAIM.run(tables, new))


def submitted(tables: Tables, holds: list[Hold]) -> list[Record]:
    given = [(hold, f"request-{hold.entry}", 101.0) for hold in holds]
    return list(SUBMITTED.run(tables, [SUBMITTED.take(tables, 7, one) for one in given]))


def ended(tables: Tables, holds: list[Hold]) -> list[Record]:
    ends = [failed(final=True) if hold.entry % 5 == 0 else done(f'{{"n": {hold.entry}}}') for hold in holds]
    given = [(hold.entry, f"request-{hold.entry}", end) for hold, end in zip(holds, ends, strict=True)]
    return list(END.run(tables, [END.take(tables, 7, one) for one in given]))


def in_file(tables: Tables) -> list[Record]:
    stored = [reads.find(tables, place(key), True) for key in KEYS]
    return [attrs.evolve(record, input=None) for record in stored if record is not None]


def test_many_entries_are_written_by_few_statements_and_returned_as_stored(tables: Tables) -> None:
    claimed(tables, ["another"])  # so that the namespace is known
    statements: list[str] = []
    tables.db.set_trace_callback(statements.append)
    holds = claimed(tables)
    records = submitted(tables, holds)
    tables.db.set_trace_callback(None)
    assert records == in_file(tables)
    tables.db.set_trace_callback(statements.append)
    records = ended(tables, holds)
    tables.db.set_trace_callback(None)
    assert records == in_file(tables)
    assert len(statements) == 8 * len((32, 8, 4, 1)), "of 45 entries"
    assert not tables.held[1].request_id
    assert list(tables.held) == [1], "ended entries are not remembered"


def test_entries_with_a_token_are_returned_as_stored_and_not_remembered_after_their_submit(
    tables: Tables,
) -> None:
    claims_of_webhooks = [new_claim(key, token=f"token-{key}") for key in KEYS]
    holds = list(CLAIM.run(tables, [CLAIM.take(tables, 7, one) for one in claims_of_webhooks]))
    assert submitted(tables, holds) == in_file(tables)
    assert not tables.held


def test_an_entry_that_is_delivered_before_its_submit_is_answered_is_not_remembered(tables: Tables) -> None:
    CLAIM.run(tables, [CLAIM.take(tables, 7, new_claim(token="token-1"))])
    assert len(tables.held) == 1
    write = delivered.deliver(ORIGIN, "request-1", 101.0, token="token-1", end=done())
    assert deliver(tables, write) is not None
    assert not tables.held


def test_claims_are_not_combined_if_one_key_has_an_entry(tables: Tables) -> None:
    claimed(tables, ["key-3"])
    with pytest.raises(UnlikeError):
        claimed(tables)


def test_submits_are_not_combined_if_one_entry_was_changed_by_another_process(tables: Tables) -> None:
    first, second, third = claimed(tables, ["a", "b", "c"])
    tables.db.execute("UPDATE entries SET version = version + 1 WHERE key = 'b'")
    with pytest.raises(UnlikeError):
        submitted(tables, [first, second, third])
    assert not tables.held


def test_submits_are_not_combined_if_another_entry_has_one_request_id(tables: Tables) -> None:
    first, second = claimed(tables, ["a", "b"])
    run(tables, claims.submitted(7, claimed(tables, ["c"])[0], f"request-{second.entry}", 101.0))
    with pytest.raises(UnlikeError):
        submitted(tables, [first, second])


def test_the_outcome_of_an_unknown_request_is_written_separately(tables: Tables) -> None:
    (hold,) = claimed(tables, ["a"])
    submitted(tables, [hold])
    assert END.take(tables, 7, (hold.entry, "another", done())) is None
    assert run(tables, after_submit.end(hold.entry, "another", done()), hold.entry).attempts == 2


def test_the_claim_of_a_further_attempt_is_written_separately(tables: Tables) -> None:
    assert CLAIM.take(tables, 7, new_claim(seen=3)) is None


async def test_of_concurrent_claims_only_that_of_an_existing_key_is_refused(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "runs.db")
    other = await open_store(tmp_path / "runs.db")
    assert await other.claim(new_claim("key-3")) is not None
    holds = await asyncio.gather(*(store.claim(new_claim(key)) for key in KEYS))
    assert [key for key, hold in zip(KEYS, holds, strict=True) if hold is None] == ["key-3"]
    won = [hold for hold in holds if hold is not None]
    records = await asyncio.gather(*(store.submitted(hold, f"id-{hold.entry}", 101.0) for hold in won))
    assert [record.request_id for record in records] == [f"id-{hold.entry}" for hold in won]
    assert {record.state for record in records} == {"submitted"}
    await other.aclose()
    await store.aclose()
