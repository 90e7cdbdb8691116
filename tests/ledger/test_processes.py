"""Several processes on one file: they write concurrently, die, are stopped, and fork."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fal_async import LedgerError
from fal_async.ledger.opening import open_store
from fal_async.ledger.sqlite.sqlite_store import SqliteStore
from fal_async.ledger.store import Search, Store
from fal_async.protocol.ledger.entry import Record
from tests.ledger.samples import new_claim, place

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals, fork and limits of POSIX")
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def worker(*arguments: object) -> AsyncIterator[Process]:
    """Another process; killed at the end of the block if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.ledger.worker"),
        *map(str, arguments),
        cwd=ROOT,
        stdin=PIPE,
        stdout=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line(process: Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def lines(process: Process) -> list[str]:
    """Return its output; it must end with status 0."""
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode().splitlines()


async def found(store: Store, key: str) -> Record:
    record = await store.find(place(key))
    assert record is not None
    return record


def assert_sound(path: Path) -> None:
    """Run SQLite's own check of every page and index."""
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


async def test_two_processes_that_write_concurrently_lose_no_entry(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with worker("write", path, "a", 150) as first, worker("write", path, "b", 150) as second:
        said = [*await lines(first), *await lines(second)]
    store = await open_store(path)
    assert await store.totals(Search()) == {"done": 300}
    assert len([text for text in said if text.startswith("done ")]) == 300
    await store.aclose()
    assert_sound(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["runs.db", "runs.db-lock"]


async def test_an_owner_counts_as_living_until_its_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    store = await open_store(path)
    async with worker("own", path) as other:
        assert await line(other) == "ready"
        claimed, submitted = await found(store, "claimed"), await found(store, "submitted")
        assert (claimed.state, claimed.owner_lives, store.owns(claimed)) == ("claimed", True, False)
        assert claimed.owner is not None
        assert claimed.owner.pid == other.pid
        assert await store.take(submitted.number, submitted.version) is None
        other.send_signal(signal.SIGKILL)
        await other.wait()
    claimed = await found(store, "claimed")
    assert (claimed.state, claimed.owner_lives) == ("uncertain", False)
    assert claimed.owner is not None
    assert claimed.owner.pid == other.pid
    assert await store.totals(Search(states=["uncertain", "submitted"])) == {"uncertain": 1, "submitted": 1}
    taken = await store.take(submitted.number, submitted.version)
    assert taken is not None
    assert store.owns(taken)
    await store.aclose()


async def test_an_owner_that_closes_releases_the_request_that_it_followed(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    store = await open_store(path)
    async with worker("own", path) as other:
        assert await line(other) == "ready"
        assert other.stdin is not None
        other.stdin.write(b"\n")
        assert await line(other) == "closed"
        record = await found(store, "submitted")
        assert (record.owner, record.state) == (None, "submitted")
        assert await store.take(record.number, record.version) is not None
        assert (await found(store, "claimed")).state == "uncertain"
    await store.aclose()


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_process_killed_during_commits_loses_no_write_that_was_confirmed(
    tmp_path: Path, seed: int
) -> None:
    path = tmp_path / "runs.db"
    chance = random.Random(seed)
    async with worker("write", path, "key", 100_000) as killed:
        said = [await line(killed) for _ in range(chance.randrange(20, 600))]
        killed.kill()
        assert killed.stdout is not None
        said += (await killed.stdout.read()).decode().splitlines()[:-1]  # the last one may be cut
    store = await open_store(path)
    reached = {"claimed": {"uncertain", "submitted", "done"}, "submitted": {"submitted", "done"}}
    for text in said:
        step, _, key = text.partition(" ")
        assert (await found(store, key)).state in reached.get(step, {"done"})
    await store.aclose()
    assert_sound(path)


async def test_a_write_gives_up_waiting_for_a_stopped_process_after_its_patience(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    store = await SqliteStore.open(str(path), patience=0.2)
    hold = await store.claim(new_claim())
    assert hold is not None
    async with worker("block", path) as other:
        assert await line(other) == "ready"
        with pytest.raises(LedgerError, match=r"runs\.db: another process has kept it locked for 0\.2 s"):
            await store.submitted(hold, "request-1", 101.0)
        assert (await found(store, "order-42")).state == "claimed"  # reads do not wait
    assert (await store.submitted(hold, "request-1", 101.0)).state == "submitted"
    await store.aclose()


async def test_open_gives_up_waiting_for_a_stopped_process_after_its_patience(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with worker("block", path) as other:
        assert await line(other) == "ready"
        with pytest.raises(LedgerError, match=r"locked for 0\.2 s"):
            await SqliteStore.open(str(path), patience=0.2)
    store = await SqliteStore.open(str(path), patience=0.2)
    await store.aclose()


async def test_a_write_gives_up_waiting_for_the_lock_of_another_program_after_its_patience(
    tmp_path: Path,
) -> None:
    path = tmp_path / "runs.db"
    store = await SqliteStore.open(str(path), patience=0.2)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match=r"runs\.db: another process has kept it locked"):
        await asyncio.gather(store.claim(new_claim("a")), store.claim(new_claim("b")))
    db.execute("ROLLBACK")
    db.close()
    assert await store.claim(new_claim("a")) is not None
    await store.aclose()


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no limit of file sizes")
async def test_a_full_disk_is_reported_and_loses_no_stored_entry(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with worker("fill", path, 300_000) as process:
        said = await lines(process)
    refusals = [text for text in said if text.startswith("refused ")]
    assert len(refusals) == 1
    assert path.name in refusals[0]
    assert "still done" in said
    store = await open_store(path)
    for text in said:
        step, _, key = text.partition(" ")
        if step == "done":
            assert (await found(store, key)).state == "done"
    assert "done last" in said
    await store.aclose()
    assert_sound(path)


async def test_a_forked_child_can_neither_use_nor_damage_the_ledger(tmp_path: Path) -> None:
    path, other = tmp_path / "runs.db", tmp_path / "childs.db"
    async with worker("fork", path, other) as process:
        said = await lines(process)
    for what in ("use", "open"):
        refused = [text for text in said if text.startswith(f"{what} ")]
        assert len(refused) == 1
        assert "SessionStateError this process was forked from one that has the ledger" in refused[0]
        assert "runs.db open: open the ledger after the fork" in refused[0]
    assert "close worked" in said
    assert "done childs" in said
    assert "done after" in said
    assert said[-1] == "child 0"
    assert_sound(path)
    assert_sound(other)
