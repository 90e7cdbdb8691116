"""The public `Ledger`: reading, deciding by hand, exporting."""

from __future__ import annotations

import asyncio
import csv
import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from fal_async import (
    CancelOutcome,
    ConfigurationError,
    Ledger,
    LedgerEntry,
    ResultExpiredError,
    ServerError,
    SessionStateError,
)
from fal_async.ledger.opening import Where
from fal_async.ledger.store import Hold, Store
from fal_async.protocol.ledger.entry import End, Place, Record, StoredFile
from fal_async.protocol.ledger.stored_errors import stored_error
from tests.keyed.entries import content_of
from tests.ledger.samples import done, new_claim, place


@pytest.fixture
async def ledger(where: Where) -> AsyncIterator[Ledger]:
    async with await Ledger.open(where) as ledger:
        yield ledger


@pytest.fixture
async def store(ledger: Ledger) -> AsyncIterator[Store]:
    """The store of a session that uses the ledger."""
    store = await ledger.new_store()
    yield store
    await store.aclose()


async def claimed(store: Store, at: Place | str = "order-42") -> Hold:
    hold = await store.claim(new_claim(at, input='{"prompt": "a cat"}'))
    assert hold is not None
    return hold


async def ended(store: Store, key: str = "order-42", end: End | None = None) -> Record:
    hold = await claimed(store, key)
    await store.submitted(hold, f"request-{key}", 101.0)
    return await store.end(hold.entry, f"request-{key}", end or done('{"seed": 7}'))


def failure() -> End:
    error = ServerError("the runner broke", status=500)
    return End(state="failed", outcome="failed", at=120.0, payload=stored_error(error))


async def found(ledger: Ledger, key: str = "order-42") -> LedgerEntry:
    entry = await ledger.get(key)
    assert entry is not None
    return entry


async def test_get_returns_every_stored_field_of_a_completed_key(ledger: Ledger, store: Store) -> None:
    record = await ended(store, end=attrs.evolve(done('{"seed": 7}'), cost=Decimal("0.025")))
    await store.set_files(record.number, [StoredFile(n=0, path="cat.png", size=3)])
    entry = await found(ledger)
    assert (entry.key, entry.run, entry.tenant, entry.endpoint_id) == ("order-42", "", "", "fal-ai/flux/dev")
    assert (entry.state, entry.attempts, entry.request_id) == ("done", 1, "request-order-42")
    assert (entry.claimed_at, entry.submitted_at, entry.ended_at) == (100.0, 101.0, 120.0)
    assert (entry.input, entry.input_digest, entry.cost) == (
        {"prompt": "a cat"},
        "1:input",
        Decimal("0.025"),
    )
    assert entry.files == (StoredFile(n=0, path="cat.png", size=3),)
    assert entry.error is None
    assert entry.result is not None
    assert entry.result.from_ledger
    assert (entry.result.data, entry.result.cost) == ({"seed": 7}, Decimal("0.025"))
    assert entry.result is not entry.result
    assert "seed" not in repr(entry)


async def test_a_failed_entry_has_its_stored_error_and_no_result(ledger: Ledger, store: Store) -> None:
    await ended(store, end=failure())
    entry = await found(ledger)
    assert entry.result is None
    assert isinstance(entry.error, ServerError)
    assert entry.error.request_id == "request-order-42"


async def test_get_returns_none_for_an_unknown_key_and_resolve_and_forget_refuse_it(ledger: Ledger) -> None:
    assert await ledger.get("order-42") is None
    for call in (ledger.forget("order-42"), ledger.resolve("order-42", request_id=None)):
        with pytest.raises(ConfigurationError, match="no entry with the key 'order-42'"):
            await call


async def test_get_refuses_a_key_of_several_runs_unless_the_run_is_given(
    ledger: Ledger, store: Store
) -> None:
    for run in ("monday", "tuesday"):
        await claimed(store, place(run=run))
    await claimed(store, place("other", origin="http://127.0.0.1:8765"))
    with pytest.raises(ConfigurationError, match=r"several entries have .*run='monday'.*run='tuesday'"):
        await ledger.get("order-42")
    entry = await ledger.get("order-42", run="tuesday")
    assert entry is not None
    assert entry.run == "tuesday"
    assert (await found(ledger, "other")).origin == "http://127.0.0.1:8765"
    assert await ledger.get("order-42", run="monday", origin="http://127.0.0.1:8765") is None


async def test_entries_are_listed_in_order_of_creation_and_filtered_by_state(
    ledger: Ledger, store: Store
) -> None:
    for number in range(45):
        await ended(store, f"key-{number:02}", failure() if number % 9 == 0 else None)
    await claimed(store, "claimed")
    keys = [entry.key async for entry in ledger.entries()]
    assert keys == [f"key-{number:02}" for number in range(45)] + ["claimed"]
    assert [entry.key async for entry in ledger.entries(state="failed")] == keys[0:45:9]
    assert [entry.key async for entry in ledger.entries(state=("claimed", "uncertain"))] == ["claimed"]
    assert [entry.key async for entry in ledger.entries(run="other")] == []
    with pytest.raises(ConfigurationError, match="state='finished'"):
        [entry async for entry in ledger.entries(state="finished")]  # type: ignore[arg-type]
    summary = await ledger.summary()
    assert (summary.total, summary.done, summary.failed, summary.claimed) == (46, 40, 5, 1)
    assert (summary.cost, summary.unpriced) == (None, 45)


async def test_spaces_returns_the_namespaces_that_have_entries(ledger: Ledger, store: Store) -> None:
    assert await ledger.spaces() == []
    await claimed(store, "order-42")
    (space,) = await ledger.spaces()
    assert space == place("order-42").space
    assert (await ledger.summary(run=space.run, tenant=space.tenant, origin=space.origin)).total == 1
    assert (await ledger.summary(origin="https://elsewhere.example")).total == 0


async def test_entries_created_during_an_iteration_are_listed_too(ledger: Ledger, store: Store) -> None:
    await claimed(store, "key-0")
    keys = []
    async for entry in ledger.entries():
        keys.append(entry.key)
        if len(keys) < 30:
            await claimed(store, f"key-{len(keys)}")
    assert len(keys) == 30


async def test_a_claim_becomes_uncertain_when_its_owner_closes(ledger: Ledger, store: Store) -> None:
    await claimed(store)
    assert (await found(ledger)).state == "claimed"
    await store.aclose()
    assert (await found(ledger)).state == "uncertain"
    assert [entry.key async for entry in ledger.entries(state="uncertain")] == ["order-42"]
    assert (await ledger.summary()).uncertain == 1


async def test_resolve_stores_the_given_request_id_or_allows_a_further_claim(
    ledger: Ledger, store: Store
) -> None:
    for key in ("taken", "not-taken"):
        await store.uncertain(await claimed(store, key), 110.0)
    entry = await ledger.resolve("taken", request_id="request-7")
    assert (entry.state, entry.request_id, entry.attempts) == ("submitted", "request-7", 1)
    entry = await ledger.resolve("not-taken", request_id=None)
    assert (entry.state, entry.requests, entry.attempts, entry.error) == ("cancelled", (), 1, None)
    record = await store.find(place("not-taken"))
    assert record is not None
    assert await store.claim(new_claim("not-taken", seen=record.version)) == Hold(
        entry=record.number, attempt=2
    )


async def test_resolve_refuses_an_entry_that_is_not_uncertain_or_a_wrong_request_id(
    ledger: Ledger, store: Store
) -> None:
    await ended(store, "done")
    await claimed(store, "claimed")
    await store.uncertain(await claimed(store, "uncertain"), 110.0)
    with pytest.raises(ConfigurationError, match="'done' is done: it has no uncertain submit to resolve"):
        await ledger.resolve("done", request_id="request-7")
    with pytest.raises(ConfigurationError, match="'claimed' is being submitted by a running process"):
        await ledger.resolve("claimed", request_id=None)
    with pytest.raises(ConfigurationError, match="request_id='request-done' belongs to the key 'done'"):
        await ledger.resolve("uncertain", request_id="request-done")
    with pytest.raises(ConfigurationError, match="request id"):
        await ledger.resolve("uncertain", request_id="no/id")


async def test_forget_deletes_an_entry_with_an_outcome_and_allows_a_new_claim(
    ledger: Ledger, store: Store
) -> None:
    await ended(store)
    await ledger.forget("order-42")
    assert await ledger.get("order-42") is None
    assert [entry async for entry in ledger.entries()] == []
    await claimed(store)


async def test_forget_refuses_an_entry_without_an_outcome(ledger: Ledger, store: Store) -> None:
    hold = await claimed(store)
    for force in (False, True):
        with pytest.raises(
            ConfigurationError, match="is claimed: it is not known whether fal accepted its request"
        ):
            await ledger.forget("order-42", force=force)
    await store.submitted(hold, "request-1", 101.0)
    with pytest.raises(ConfigurationError, match="pass force=True to cancel it first"):
        await ledger.forget("order-42")
    with pytest.raises(SessionStateError, match="request request-1"):
        await ledger.forget("order-42", force=True)


@pytest.mark.parametrize(
    "outcome", [CancelOutcome.CANCELLED, CancelOutcome.CANCELLATION_REQUESTED, CancelOutcome.REFUSED]
)
async def test_forced_forget_deletes_an_entry_only_after_a_session_has_cancelled_it(
    ledger: Ledger, store: Store, outcome: CancelOutcome
) -> None:
    await store.submitted(await claimed(store), "request-1", 101.0)
    asked: list[str | None] = []

    async def cancel(record: Record) -> CancelOutcome:
        asked.append(record.request_id)
        return outcome

    detach = ledger.attach(cancel)
    if outcome is CancelOutcome.CANCELLED:
        await ledger.forget("order-42", force=True)
        assert await ledger.get("order-42") is None
    else:
        with pytest.raises(ConfigurationError, match="still running and may complete"):
            await ledger.forget("order-42", force=True)
    assert asked == ["request-1"]
    detach()


@pytest.mark.parametrize("ago", [0.0, 360.0])
async def test_forced_forget_deletes_a_request_unknown_to_fal_only_6_minutes_after_its_submit(
    ledger: Ledger, store: Store, ago: float
) -> None:
    await store.submitted(await claimed(store), "request-1", time.time() - ago)

    async def cancel(_: Record) -> CancelOutcome:
        return CancelOutcome.NOT_FOUND

    detach = ledger.attach(cancel)
    if ago:
        await ledger.forget("order-42", force=True)
    else:
        with pytest.raises(ConfigurationError, match="6 minutes after its submit"):
            await ledger.forget("order-42", force=True)
    assert (await ledger.get("order-42") is None) == bool(ago)
    detach()


async def test_forced_forget_keeps_an_entry_that_is_claimed_again_during_the_cancellation(
    ledger: Ledger, store: Store
) -> None:
    hold = await claimed(store)
    await store.submitted(hold, "request-1", 101.0)

    async def cancel(_: Record) -> CancelOutcome:
        ended = await store.end(hold.entry, "request-1", failure())
        assert await store.claim(new_claim(seen=ended.version)) is not None
        return CancelOutcome.CANCELLED

    detach = ledger.attach(cancel)
    with pytest.raises(ConfigurationError, match="is claimed"):
        await ledger.forget("order-42", force=True)
    assert (await found(ledger)).attempts == 2
    detach()


async def test_export_writes_the_documented_columns_as_jsonl_and_csv(
    ledger: Ledger, store: Store, where: Where, tmp_path: Path
) -> None:
    await ended(store, "good", attrs.evolve(done('{"seed": 7}'), billable_units=Decimal("1.50")))
    await ended(store, "bad", failure())
    await claimed(store, "claimed")
    assert await ledger.export(tmp_path / "out.jsonl") == 3
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["key"] for line in lines] == ["good", "bad", "claimed"]
    assert list(lines[0]) == [
        *("origin", "tenant", "run", "key", "endpoint_id", "state", "request_id", "attempts"),
        *("claimed_at", "submitted_at", "ended_at", "billable_units", "cost", "files", "error"),
        *("input", "output"),
    ]
    assert (lines[0]["output"], lines[0]["billable_units"]) == ({"seed": 7}, "1.50")
    assert lines[1]["error"]["error"] == "ServerError"
    assert await ledger.export(tmp_path / "out.csv", run="") == 3
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(lines[0])
    assert (rows[0]["output"], rows[0]["error"], rows[2]["request_id"]) == ('{"seed":7}', "", "")


async def test_a_failed_export_leaves_the_existing_file_unchanged(
    ledger: Ledger, store: Store, where: Where, tmp_path: Path
) -> None:
    await ended(store)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "out.csv").write_text("before")
    with pytest.raises(ConfigurationError, match=r"ends in .jsonl or .csv"):
        await ledger.export(tmp_path / "out" / "out.xlsx")
    async with await Ledger.open(where) as closed:
        pass
    with pytest.raises(SessionStateError):
        await closed.export(tmp_path / "out" / "out.csv")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["out.csv"]
    assert (tmp_path / "out" / "out.csv").read_text() == "before"


async def test_an_entry_older_than_keep_loses_its_payloads_and_stays_as_a_tombstone(where: Where) -> None:
    async with await Ledger.open(where) as ledger:
        store = await ledger.new_store()
        await ended(store)  # in 1970
        await claimed(store, "claimed")
        await store.aclose()
    async with await Ledger.open(where, keep=timedelta(days=30)) as ledger:
        while (entry := await found(ledger)).input is not None:  # they are deleted in the background
            await asyncio.sleep(0.01)
        assert (entry.state, entry.request_id, entry.result) == ("done", "request-order-42", None)
        assert isinstance(entry.error, ResultExpiredError)
        assert (await found(ledger, "claimed")).input == {"prompt": "a cat"}


async def test_keep_input_false_stores_no_input(where: Where) -> None:
    async with await Ledger.open(where, keep_input=False) as ledger:
        store = await ledger.new_store()
        await ended(store)
        await store.aclose()
        assert (await found(ledger)).input is None
    assert b"a cat" not in await content_of(where)


@pytest.mark.parametrize("keep", [0, -1.0, "1", timedelta(0), True])
async def test_open_refuses_a_keep_that_is_not_a_positive_time(where: Where, keep: object) -> None:
    with pytest.raises(ConfigurationError, match="keep="):
        await Ledger.open(where, keep=keep)  # type: ignore[arg-type]


async def test_a_closed_ledger_raises_but_its_sessions_still_work(where: Where) -> None:
    ledger = await Ledger.open(where)
    store = await ledger.new_store()
    await ledger.aclose()
    await ledger.aclose()
    with pytest.raises(SessionStateError, match="closed"):
        await ledger.get("order-42")
    with pytest.raises(SessionStateError, match="closed"):
        await ledger.new_store()
    await claimed(store)
    await store.aclose()
