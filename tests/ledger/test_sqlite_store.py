"""The store in an SQLite file: its file, its thread and its group commits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest

from fal_async import LedgerError
from fal_async.ledger.opening import open_store
from fal_async.ledger.sqlite.group_commit import Operation
from fal_async.ledger.sqlite.open_files import open_files
from fal_async.ledger.store import Hold, Search, Store
from tests.ledger.samples import done, new_claim, place


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(tmp_path / "runs.db")
    yield store
    await store.aclose()


async def claimed(store: Store, key: str = "order-42", *, seen: int | None = None) -> Hold:
    hold = await store.claim(new_claim(key, seen=seen))
    assert hold is not None
    return hold


def test_a_claim_whose_event_loop_was_closed_is_withdrawn(tmp_path: Path) -> None:
    loop = asyncio.new_event_loop()
    store = loop.run_until_complete(open_store(tmp_path / "runs.db"))
    # The thread is paused, as before a fork: so the operation begins after the loop was closed.
    open_files().before_fork()
    task = loop.create_task(store.claim(new_claim()))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    open_files().after_fork()

    async def look() -> None:
        await store.known([])
        assert await store.find(place()) is None
        await store.aclose()

    asyncio.run(look())
    assert not task.done()
    task.get_coro().close()


async def test_a_permanently_broken_connection_fails_every_waiting_operation(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "runs.db")
    held = await claimed(store, "before")
    file, loop = open_files().acquire(store.where, 10.0), asyncio.get_running_loop()
    works = [lambda *_: None, lambda tables, _: tables.db.close(), lambda *_: None]
    operations = [Operation(work=work, writes=True, loop=loop, future=loop.create_future()) for work in works]
    assert file.pause(5)  # so that they form one group
    for operation in operations:
        file.hand(operation)
    file.go_on()
    for operation in operations:
        assert operation.future is not None
        with pytest.raises(LedgerError, match="closed database"):
            await operation.future
    with pytest.raises(LedgerError, match="closed database"):
        await store.submitted(held, "request-1", 101.0)
    again = await open_store(tmp_path / "runs.db")
    assert await again.totals(Search()) == {"uncertain": 1}
    await again.aclose()
    open_files().release(file, None)
    await store.aclose()


async def test_large_payloads_are_compressed_on_disk(store: Store, tmp_path: Path) -> None:
    text = '{"text": "' + "a cat " * 200_000 + '"}'
    hold = await store.claim(new_claim(input=text))
    assert hold is not None
    await store.submitted(hold, "request-1", 101.0)
    await store.end(hold.entry, "request-1", done(text))
    record = await store.find(place())
    assert record is not None
    assert record.input is not None
    assert record.end is not None
    assert record.input.body == record.end.body == text.encode()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 400_000
    bare = await store.find(place(), payloads=False)
    assert bare == attrs.evolve(record, input=None, end=None)


def test_stores_of_several_threads_and_event_loops_share_one_file(tmp_path: Path) -> None:
    shared: list[Hold | None] = []

    async def write(name: int) -> None:
        store = await open_store(tmp_path / "runs.db")
        for number in range(20):
            hold = await claimed(store, f"{name}-{number}")
            await store.submitted(hold, f"{name}-{number}", 101.0)
        shared.append(await store.claim(new_claim("shared")))
        await store.aclose()

    threads = [threading.Thread(target=lambda name=name: asyncio.run(write(name))) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def look() -> None:
        store = await open_store(tmp_path / "runs.db")
        assert await store.totals(Search()) == {"submitted": 80, "uncertain": 1}
        await store.aclose()

    asyncio.run(look())
    assert len([hold for hold in shared if hold is not None]) == 1
    for thread in threading.enumerate():
        if "ledger" in thread.name:
            thread.join(5)
            assert not thread.is_alive()
