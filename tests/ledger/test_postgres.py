"""A ledger on PostgreSQL: locks, lost connections, restarts of the server, and who is regarded as dead."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from fal_async import ConfigurationError, Ledger, LedgerError, Session, SessionStateError
from fal_async.emulator import Emulator, Fault
from fal_async.ledger.opening import open_store
from fal_async.ledger.postgres.database import Database
from fal_async.ledger.postgres.postgres_address import address_of
from fal_async.ledger.postgres.postgres_store import PostgresStore
from fal_async.ledger.store import Hold, Search, Store
from fal_async.protocol.ledger.entry import Record
from tests.keyed.entries import execute
from tests.ledger.samples import done, new_claim, place
from tests.quick import ASK, GATE, LLM, gate_at, quick, session_on
from tests.testbed.postgres import Cluster, cluster
from tests.testbed.postgres_relay import Relay, relay


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    store = await open_store(database)
    yield store
    await store.aclose()


@pytest.fixture
async def relayed(database: str) -> AsyncIterator[Relay]:
    async with relay(database) as made:
        yield made


async def claimed(store: Store, key: str = "order-42") -> Hold:
    hold = await store.claim(new_claim(key))
    assert hold is not None
    return hold


async def found(store: Store, key: str = "order-42") -> Record:
    record = await store.find(place(key))
    assert record is not None
    return record


async def other_process(url: str, **how: Any) -> PostgresStore:
    """Open a store with its own connections, as another process has."""
    database = Database(address_of(url), **how)
    database.users = 1
    await database.open()
    return PostgresStore(database, None, True)


# Opening.


async def test_many_processes_that_open_an_empty_database_at_once_make_its_tables_once(database: str) -> None:
    stores = await asyncio.gather(*(other_process(database) for _ in range(12)))
    holds = await asyncio.gather(*(store.claim(new_claim()) for store in stores))
    assert sum(hold is not None for hold in holds) == 1
    for store in stores:
        await store.aclose()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://postgres:secret@/nothing?host={host}", "the database does not exist"),
        ("postgresql://nobody_known:secret@/postgres?host={host}", "the server refuses this user"),
        ("postgresql://u:secret@host.invalid/runs", "can't reach the server"),
    ],
)
async def test_a_database_that_cannot_be_opened_is_named_without_its_password(
    postgres: Cluster, url: str, says: str
) -> None:
    with pytest.raises((ConfigurationError, LedgerError), match=says) as refused:
        await Ledger.open(url.format(host=postgres.folder))
    assert "secret" not in repr(refused.value)


async def test_a_ledger_can_be_opened_while_its_server_starts(emulator: Emulator) -> None:
    with cluster() as server:
        url = server.new_database()
        server.stop()
        with pytest.raises(LedgerError, match="can't reach the server"):
            await other_process(url, patience=0.1)
        opening = asyncio.create_task(Ledger.open(url))
        await asyncio.to_thread(server.start)
        await (await opening).aclose()


async def test_the_password_of_a_database_is_in_no_text_of_a_session_or_ledger(relayed: Relay) -> None:
    async with await Ledger.open(relayed.url) as ledger, Session("k:s", ledger=relayed.url) as fal:
        shown = [
            repr(ledger),
            ledger.where,
            repr(fal),
            repr(fal.with_options(tenant="acme")),
            repr(address_of(relayed.url)),
        ]
        relayed.cut()
        shown.append(repr(await ledger.summary()))
    assert not [text for text in shown if "secret" in text]


async def test_a_pooler_in_between_is_refused_unless_the_url_names_the_server_itself(
    relayed: Relay, database: str
) -> None:
    relayed.is_pooler = True
    with pytest.raises(ConfigurationError, match="set the option direct="):
        await open_store(relayed.url)
    store = await open_store(f"{relayed.url}&direct={database.replace('?', '%3F').replace('=', '%3D')}")
    hold = await claimed(store)
    record = await store.submitted(hold, "request-1", 101.0)
    assert (record.state, record.owner_lives) == ("submitted", True)
    assert (await store.end(hold.entry, "request-1", done())).state == "done"
    await store.set_files(hold.entry, [])
    assert await store.totals(Search()) == {"done": 1}
    await store.aclose()


async def test_direct_that_leads_to_a_pooler_too_is_refused(relayed: Relay) -> None:
    relayed.is_pooler = True
    direct = relayed.url.replace("?", "%3F").replace("=", "%3D")
    store = await open_store(f"{relayed.url}&direct={direct}")
    with pytest.raises(ConfigurationError, match="set the option direct="):
        await store.claim(new_claim())
    await store.aclose()


async def test_more_processes_than_the_server_has_connections_wait_for_one(database: str) -> None:
    name = database.partition("@/")[2].partition("?")[0]
    await execute(database, f"ALTER DATABASE {name} CONNECTION LIMIT 4")
    await execute(database, "CREATE ROLE limited LOGIN")
    await execute(database, f"ALTER DATABASE {name} OWNER TO limited")
    url = database.replace("postgres@", "limited@") + "&pool_size=1"
    store = await other_process(url)
    await claimed(store, "first")
    second = await other_process(url, patience=0.2)
    await claimed(second, "second")
    with pytest.raises(LedgerError, match="no free connection"):
        await other_process(url, patience=0.2)
    await store.aclose()
    third = await other_process(url)
    await claimed(third, "third")
    for each in (second, third):
        await each.aclose()
    await execute(database, f"ALTER DATABASE {name} OWNER TO postgres")
    await execute(database, "REASSIGN OWNED BY limited TO postgres")
    await execute(database, "DROP ROLE limited")


async def test_a_store_is_refused_in_another_event_loop(store: Store) -> None:
    def use() -> None:
        with pytest.raises(SessionStateError, match="another event loop"):
            asyncio.run(store.totals(Search()))

    await asyncio.to_thread(use)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_a_forked_child_cannot_use_or_close_the_store_of_its_parent(store: Store) -> None:
    await claimed(store)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            asyncio.get_event_loop_policy().new_event_loop()
            try:
                store.find(place()).send(None)
            except SessionStateError as refused:
                status = 0 if "forked" in str(refused) else 2
            store.drop()
        finally:
            os._exit(status)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert (await found(store)).owner_lives


# Who is dead.


async def test_an_owner_is_dead_only_after_its_lock_was_free_for_the_whole_submit_budget(
    store: Store, database: str, relayed: Relay
) -> None:
    owner = await other_process(relayed.url)
    await claimed(owner)  # its submit may take 30 s
    owner._database.owners.terminate()
    while await execute(database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"):
        await asyncio.sleep(0.01)
    for seconds, state in ((0, "claimed"), (29, "claimed"), (2, "uncertain")):
        await execute(database, f"UPDATE fal_async.owners SET free_since = free_since - {seconds}")
        assert (await found(store)).state == state
    await owner.claim(new_claim("another"))  # it runs after all
    assert (await found(store)).state == "claimed"
    await owner.aclose()
    assert (await found(store)).state == "uncertain"


async def test_a_request_of_an_owner_with_a_free_lock_can_be_followed_after_ten_seconds(
    store: Store, database: str, relayed: Relay
) -> None:
    owner = await other_process(relayed.url)
    await owner.submitted(await claimed(owner), "request-1", 101.0)
    owner._database.owners.terminate()
    while (record := await found(store)).owner_lives:
        assert await store.take(record.number, record.version) is None
        await execute(database, "UPDATE fal_async.owners SET free_since = free_since - 10")
    taken = await store.take(record.number, record.version)
    assert taken is not None
    assert store.owns(taken)
    await owner.aclose()


async def test_an_owner_that_others_regard_as_dead_takes_its_lock_again_before_a_claim(
    store: Store, database: str
) -> None:
    owner = await other_process(database)
    await claimed(owner)
    await execute(database, "UPDATE fal_async.owners SET free_since = 1")
    await claimed(owner, "another")
    assert await execute(database, "SELECT count(*) FROM fal_async.owners WHERE free_since IS NOT NULL") == 0
    await owner.aclose()


# Lost connections.


@pytest.mark.parametrize("seen", [False, True])
async def test_a_claim_is_written_once_although_its_answer_is_lost(relayed: Relay, seen: bool) -> None:
    store = await open_store(relayed.url)
    version = None
    if seen:
        await store.uncertain(await claimed(store), 110.0)
        version = (await found(store)).version
    await store.totals(Search())
    relayed.swallows = b"COMMIT" if seen else b"SELECT"
    hold = await store.claim(new_claim(seen=version))
    record = await found(store)
    assert hold == Hold(entry=record.number, attempt=record.attempts)
    assert (record.attempts, len(record.requests)) == (2, 2) if seen else (1, 1)
    assert relayed.swallows is None
    await store.aclose()


async def test_a_claim_that_may_have_been_written_is_withdrawn_if_its_call_fails(relayed: Relay) -> None:
    store = await other_process(relayed.url, patience=0.0)
    await claimed(store, "first")
    relayed.swallows = b"SELECT"
    with pytest.raises(LedgerError):
        await store.claim(new_claim())
    assert await store.find(place()) is None
    await store.aclose()


async def test_all_connections_may_break_at_any_moment_of_many_keyed_calls(
    emulator: Emulator, relayed: Relay
) -> None:
    async with session_on(emulator, ledger=relayed.url, retry=quick()) as fal:
        await fal.subscribe(LLM, ASK, key="warm")

        async def cutting() -> None:
            for submits in range(3, 40, 3):
                await emulator.wait_for("submit", submits)
                relayed.cut()

        calls = [fal.subscribe(LLM, ASK, key=f"order-{n}") for n in range(40)]
        _, *results = await asyncio.gather(cutting(), *calls)
        again = await asyncio.gather(*(fal.subscribe(LLM, ASK, key=f"order-{n}") for n in range(40)))
    assert [result.data for result in again] == [result.data for result in results]
    assert len(emulator.jobs) == 41


async def test_a_server_that_restarts_in_the_middle_of_submits_causes_no_second_submit(
    emulator: Emulator,
) -> None:
    with cluster() as server:
        url = server.new_database()
        async with session_on(emulator, ledger=url) as one, session_on(emulator, ledger=url) as other:
            gate = gate_at(emulator)
            emulator.faults.add(Fault.stall(0.5, on="submit", times=10))
            calls = [asyncio.create_task(one.subscribe(GATE, ASK, key=f"k{n}")) for n in range(20)]
            await emulator.wait_for("submit", 10)
            joined = [asyncio.create_task(other.subscribe(GATE, ASK, key=f"k{n}")) for n in range(20)]
            await asyncio.to_thread(server.restart, "immediate")
            await emulator.wait_for("submit", 20)
            gate.open()
            results = await asyncio.gather(*calls, *joined)
        assert len(results) == 40
        assert len(emulator.jobs) == 20


async def test_nothing_is_submitted_while_the_server_is_down_for_long(emulator: Emulator) -> None:
    with cluster() as server:
        store: Any = await other_process(server.new_database(), patience=0.2)
        async with session_on(emulator, ledger=store) as fal:
            await fal.subscribe(LLM, ASK, key="warm")
            server.stop("immediate")
            with pytest.raises(LedgerError, match="can't reach the server"):
                await fal.subscribe(LLM, ASK, key="order-42")
            assert len(emulator.jobs) == 1
            server.start()
            assert not (await fal.subscribe(LLM, ASK, key="order-42")).from_ledger
        await store.aclose()


# Changes by other processes.


async def test_a_waiting_process_is_notified_of_the_request_id_and_of_the_outcome(
    store: Store, database: str
) -> None:
    waiting = await other_process(database)
    hold = await claimed(store)
    record = await found(waiting)
    task = asyncio.create_task(waiting.until_changed(record.number, record.version, 3600))
    while not await execute(database, "SELECT awaited FROM fal_async.entries"):
        await asyncio.sleep(0.01)
    await store.submitted(hold, "request-1", 101.0)
    await task
    record = await found(waiting)
    assert record.state == "submitted"
    task = asyncio.create_task(waiting.until_changed(record.number, record.version, 3600))
    await store.end(hold.entry, "request-1", done())
    await task
    await waiting.until_changed(record.number, record.version, 3600)  # it has changed already
    await waiting.aclose()


async def test_a_waiting_process_that_loses_its_connection_looks_again(
    store: Store, database: str, relayed: Relay
) -> None:
    waiting = await other_process(relayed.url)
    hold = await claimed(store)
    record = await found(waiting)
    task = asyncio.create_task(waiting.until_changed(record.number, record.version, 3600))
    while not await execute(database, "SELECT awaited FROM fal_async.entries"):
        await asyncio.sleep(0.01)
    relayed.cut()
    await store.submitted(hold, "request-1", 101.0)
    await task
    await waiting.aclose()


async def test_a_lost_table_is_an_error_that_says_what_to_do(store: Store, database: str) -> None:
    await execute(database, "DROP SCHEMA fal_async CASCADE")
    with pytest.raises(LedgerError, match="ledger migrate"):
        await store.find(place())


async def test_a_database_of_a_newer_version_is_refused(database: str) -> None:
    async with await Ledger.open(database):
        pass
    await execute(database, "UPDATE fal_async.meta SET version = 9, min_version = 9")
    with pytest.raises(ConfigurationError, match="newer version of fal_async: update the package"):
        await Ledger.open(database)
    await execute(database, "UPDATE fal_async.meta SET version = 9, min_version = 1")
    async with await Ledger.open(database) as ledger:
        assert await ledger.get("order-42") is None


async def test_the_connections_survive_ends_by_an_administrator(store: Store, database: str) -> None:
    await claimed(store)
    connection = await asyncpg.connect(database)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        "AND datname = current_database()"
    )
    await connection.close()
    assert (await found(store)).owner_lives
    await claimed(store, "another")
