"""What the doctor says about the place of a ledger."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest

from fal_async import Ledger, Session
from fal_async.cli.doctor.finding import Finding, State
from fal_async.cli.doctor.ledger_findings import file_findings, ledger_findings
from fal_async.emulator import Emulator
from fal_async.ledger.sqlite.location import current_mounts, mounts_of
from tests.servers.loopback import free_port

DISK = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
WITHIN = "2 1 0:9 / {} rw - {} none rw\n"


def by_name(path: Path, mounts: str = DISK) -> dict[str, Finding]:
    return {each.name: each for each in file_findings(str(path), mounts_of(mounts))}


@pytest.fixture
async def used(emulator: Emulator, tmp_path: Path) -> Path:
    path = tmp_path / "runs.db"
    async with Session(emulator.key, hosts=emulator.hosts, ledger=path) as fal:
        await fal.subscribe("fal-ai/any-llm", {"prompt": "x"}, key="a")
    return path


async def test_used_ledger_is_described_and_not_changed(used: Path) -> None:
    before = {path.name: hashlib.sha256(path.read_bytes()).digest() for path in used.parent.iterdir()}
    found = by_name(used)
    assert found["format"].text == f"{used}: SQLite, format 1, 1 entries"
    assert [each.state for each in found.values()] == [State.OK] * 3
    assert {path.name: hashlib.sha256(path.read_bytes()).digest() for path in used.parent.iterdir()} == before


async def test_ledger_that_is_open_elsewhere_can_be_examined(used: Path) -> None:
    async with await Ledger.open(used):
        assert by_name(used)["format"].state is State.OK


@pytest.mark.parametrize(("kind", "said"), [("overlay", "at each deploy"), ("tmpfs", "at a restart")])
def test_disk_that_forgets_is_a_warning_with_a_way_out(tmp_path: Path, kind: str, said: str) -> None:
    disk = by_name(tmp_path / "runs.db", DISK + WITHIN.format(tmp_path, kind))["disk"]
    assert disk.state is State.WARNING
    assert said in disk.text
    assert "volume" in str(disk.way_out)


@pytest.mark.parametrize("content", [b"text", b"SQLite format 3\0" + bytes(200)])
def test_file_of_another_program_is_a_problem_and_stays_unchanged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "runs.db"
    path.write_bytes(content)
    (place,) = file_findings(str(path), current_mounts())
    assert (place.name, place.state) == ("place", State.PROBLEM)
    assert path.read_bytes() == content


async def test_ledger_of_a_newer_version_is_a_problem_that_says_to_upgrade(used: Path) -> None:
    db = sqlite3.connect(used)
    db.execute("UPDATE meta SET version = 99, min_version = 99")
    db.commit()
    db.close()
    problem = by_name(used)["format"]
    assert problem.state is State.PROBLEM
    assert problem.way_out == "pip install --upgrade fal-async"


def test_folder_that_is_deleted_meanwhile_is_a_problem_for_locks_and_disk(tmp_path: Path) -> None:
    found = by_name(tmp_path / "gone" / "runs.db")
    assert (found["locks"].state, found["disk"].state) == (State.PROBLEM, State.PROBLEM)


@pytest.mark.parametrize("where", ["", "missing/runs.db", "mysql://host/db", "postgresql://me:s3cret@:x/y"])
async def test_places_where_no_ledger_can_be_are_problems_without_secrets(where: str) -> None:
    (problem,) = await ledger_findings(where)
    assert problem.state is State.PROBLEM
    assert "s3cret" not in problem.text


async def test_database_without_tables_is_a_warning_and_is_not_changed(database: str) -> None:
    (first,) = await ledger_findings(database)
    (second,) = await ledger_findings(database)
    assert first == second
    assert (first.state, first.facts["version"]) == (State.WARNING, None)
    assert "fal-async ledger migrate" in str(first.way_out)


async def test_database_with_tables_is_described_by_its_versions(database: str) -> None:
    async with await Ledger.open(database):
        (found,) = await ledger_findings(database)
    assert (found.state, found.facts["version"]) == (State.OK, 1)
    assert "PostgreSQL 1" in found.text


async def test_database_that_refuses_connections_is_a_problem() -> None:
    (problem,) = await ledger_findings(f"postgresql://me:s3cret@127.0.0.1:{free_port()}/runs")
    assert (problem.name, problem.state) == ("database", State.PROBLEM)
    assert "s3cret" not in problem.text
