"""Where a ledger may be, and which places are refused before anything is written."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from pathlib import Path

import pytest

from fal_async import ConfigurationError, Ledger, LedgerError
from fal_async.ledger.opening import checked_place
from fal_async.ledger.sqlite import schema
from fal_async.ledger.sqlite.location import check_mounts, file_system, is_remote, mounts_of, path_of
from fal_async.ledger.sqlite.sqlite_errors import ledger_error


@pytest.mark.parametrize(
    "where", ["", " ", ":memory:", "sqlite://", "sqlite:///:memory:", "file:runs.db", "a\0b"]
)
async def test_open_refuses_a_ledger_that_would_not_outlive_the_process(where: str) -> None:
    with pytest.raises(ConfigurationError, match=r"'runs.db'|sqlite:///runs.db"):
        await Ledger.open(where)


@pytest.mark.parametrize(
    "where", ["mysql://u:secret@db/runs", "sqlite:///runs.db?mode=ro", "sqlite://host/a.db"]
)
def test_a_url_other_than_sqlite_is_refused_without_showing_its_password(where: str) -> None:
    with pytest.raises(ConfigurationError, match=r"expected a path, or sqlite:///runs.db") as refused:
        checked_place(where)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("where", [None, 7, b"runs.db", ["runs.db"]])
def test_a_value_that_is_not_a_path_is_refused(where: object) -> None:
    with pytest.raises(ConfigurationError, match=r"expected a path such as 'runs.db', a URL or a Ledger"):
        checked_place(where)


def test_a_sqlite_url_names_a_relative_or_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    real = os.path.realpath(tmp_path / "my runs.db")
    for where in ("my runs.db", "sqlite:///my%20runs.db", f"sqlite:///{real}", Path("my runs.db")):
        assert path_of(where) == real
    assert path_of("c:runs.db").endswith("c:runs.db") or sys.platform == "win32"


async def test_open_refuses_a_missing_folder_and_names_it(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"missing/runs.db: its folder does not exist: create it first"
    ):
        await Ledger.open(tmp_path / "missing" / "runs.db")
    with pytest.raises(ConfigurationError, match="this is a folder"):
        await Ledger.open(tmp_path)


def other_sqlite_file(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE pictures (id)")
    db.close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (other_sqlite_file, "an SQLite file of another program"),
        (lambda path: path.write_text("to do: buy milk"), "not an SQLite file"),
        (lambda path: path.write_bytes(b"\0" * 4096), "not an SQLite file"),
    ],
)
async def test_a_file_of_another_program_is_refused_and_not_changed(
    tmp_path: Path, make: object, words: str
) -> None:
    path = tmp_path / "runs.db"
    assert callable(make)
    make(path)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=words):
        await Ledger.open(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["runs.db"]


async def test_a_file_with_two_hard_links_is_refused(tmp_path: Path) -> None:
    async with await Ledger.open(tmp_path / "runs.db"):
        pass
    os.link(tmp_path / "runs.db", tmp_path / "copy.db")
    with pytest.raises(ConfigurationError, match="2 names"):
        await Ledger.open(tmp_path / "copy.db")


async def test_a_symbolic_link_opens_the_ledger_at_its_target(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "disk" / "runs.db")
    async with await Ledger.open(tmp_path / "link.db") as ledger:
        assert ledger.where == os.path.realpath(tmp_path / "disk" / "runs.db")
    assert not (tmp_path / "link.db-lock").exists()


async def test_an_empty_file_becomes_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "runs.db").touch()
    async with await Ledger.open(tmp_path / "runs.db") as ledger:
        assert (await ledger.summary()).total == 0


async def test_an_empty_file_beside_a_log_is_reported_as_damaged(tmp_path: Path) -> None:
    path, log = tmp_path / "runs.db", tmp_path / "runs.db-wal"
    path.touch()
    log.write_bytes(b"entries")
    with pytest.raises(LedgerError, match="damaged"):
        await Ledger.open(path)
    assert (path.read_bytes(), log.read_bytes()) == (b"", b"entries")


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
async def test_a_new_ledger_has_file_modes_for_its_owner_only(tmp_path: Path) -> None:
    async with await Ledger.open(tmp_path / "runs.db") as ledger:
        assert await ledger.get("order-42") is None
        files = list(tmp_path.iterdir())
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert len(files) >= 2


def changed(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute(statement)
    db.close()


async def test_a_file_that_needs_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with await Ledger.open(path):
        pass
    changed(path, f"UPDATE meta SET version = {schema.VERSION + 2}")
    async with await Ledger.open(path):  # a newer version that has only added things
        pass
    changed(path, f"UPDATE meta SET min_version = {schema.VERSION + 1}")
    with pytest.raises(ConfigurationError, match="newer version of fal_async: update the package"):
        await Ledger.open(path)


async def test_a_corrupt_ledger_is_reported_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with await Ledger.open(path):
        pass
    whole = path.read_bytes()
    path.write_bytes(whole[: schema.HEADER_SIZE] + b"\xff" * (len(whole) - schema.HEADER_SIZE))
    with pytest.raises(LedgerError, match=r"damaged. Don't delete it"):
        await Ledger.open(path)


async def test_a_ledger_deleted_while_it_is_open_refuses_writes(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with await Ledger.open(path, keep=1.0) as ledger:
        path.unlink()
        store = await ledger.new_store()
        with pytest.raises(LedgerError, match="was deleted or replaced while it was open"):
            await store.drop_payloads(0.0)
        await store.aclose()


@pytest.mark.skipif(
    not Path("/sys/kernel").is_dir(), reason="needs a folder where not even root can create a file"
)
async def test_open_names_a_folder_that_can_not_be_written() -> None:
    with pytest.raises(LedgerError, match=r"/sys/kernel/runs.db: it can't be"):
        await Ledger.open("/sys/kernel/runs.db")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
async def test_open_names_a_file_that_is_read_only(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with await Ledger.open(path):
        pass
    path.chmod(0o400)
    with pytest.raises(LedgerError, match=r"runs\.db: it can't be written"):
        await Ledger.open(path)


def test_a_full_database_is_reported_as_a_full_disk() -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (x)")
    db.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError) as full:
        db.execute("INSERT INTO t VALUES (zeroblob(100000))")
    db.close()
    assert "the disk is full" in str(ledger_error(full.value, "runs.db"))


MOUNTS = """\
22 1 0:1 / / rw - overlay overlay rw
23 22 8:1 / /data rw - ext4 /dev/sda1 rw
24 23 0:40 / /data/team rw - nfs4 server:/team rw
25 22 0:41 / /mnt/with\\040space rw,relatime shared:1 - fuse.s3fs s3fs rw
26 22 0:42 / /over rw - nfs server:/ rw
27 22 8:2 / /over rw - xfs /dev/sdb1 rw
28 22 8:1 /srv/runs.db /app/runs.db rw - ext4 /dev/sda1 rw
"""


@pytest.mark.parametrize(
    ("folder", "kind", "remote"),
    [
        ("/home/me", "overlay", False),
        ("/data", "ext4", False),
        ("/database", "overlay", False),
        ("/data/team/runs", "nfs4", True),
        ("/mnt/with space/runs", "fuse.s3fs", True),
        ("/over/it", "xfs", False),
    ],
)
def test_the_file_system_of_a_folder_is_that_of_the_innermost_mount(
    folder: str, kind: str, remote: bool
) -> None:
    assert file_system(folder, mounts_of(MOUNTS)) == kind
    assert is_remote(kind) is remote


def test_a_file_that_is_mounted_without_its_folder_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="mount its folder"):
        check_mounts("/app/runs.db", mounts_of(MOUNTS))
    check_mounts("/data/runs.db", mounts_of(MOUNTS))
