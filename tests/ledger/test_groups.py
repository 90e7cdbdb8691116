"""Operations in one transaction: their order, failures in it, and concurrent writes of other processes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from fal_async import LedgerError
from fal_async.ledger.sql import after_submit, claims
from fal_async.ledger.sqlite import reads, schema
from fal_async.ledger.sqlite.alike import FIND
from fal_async.ledger.sqlite.group_commit import Groups, Member, Operation, deliver, fail_what_is_open
from fal_async.ledger.sqlite.new_entries import CLAIM, END, SUBMITTED, claim
from fal_async.ledger.sqlite.reads import Tables
from fal_async.ledger.sqlite.record_locks import RecordLocks
from fal_async.ledger.sqlite.sqlite_store import SqliteStore
from fal_async.ledger.sqlite.write_log import WriteLog
from fal_async.ledger.sqlite.writes import resign, run
from fal_async.ledger.store import Hold, NewClaim
from fal_async.protocol.ledger.entry import End, Payload
from tests.ledger.samples import done, new_claim, place


class Connection(sqlite3.Connection):
    """A connection that refuses ROLLBACK while `is_broken`."""

    is_broken = False

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if self.is_broken and sql == "ROLLBACK":
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *values)


@attrs.frozen
class Opened:
    """The file of a ledger, used by the test itself and not by a thread."""

    path: Path
    db: Connection
    locks: RecordLocks
    groups: Groups
    member: Member = attrs.field(factory=Member)

    def run(self, *group: Operation) -> list[Any]:
        self.groups.run(group)
        return [operation.error or operation.outcome for operation in group]

    def claim(self, new: NewClaim, **how: Any) -> Operation:
        return self._own(lambda tables, me: claim(tables, me, new), joins=True, kind=CLAIM, given=new, **how)

    def withdraw(self, hold: Hold) -> Operation:
        return self._own(lambda tables, me: run(tables, claims.withdraw(me, hold), hold.entry))

    def submitted(self, hold: Hold, id: str = "request-1") -> Operation:
        given = hold, id, 101.0
        return self._own(
            lambda tables, me: run(tables, claims.submitted(me, *given), given[0].entry),
            kind=SUBMITTED,
            given=given,
        )

    def end(self, hold: Hold, end: End, id: str = "request-1") -> Operation:
        given = hold.entry, id, end
        return self._own(
            lambda tables, _: run(tables, after_submit.end(*given), given[0]), kind=END, given=given
        )

    def find(self, key: str = "order-42") -> Operation:
        given = (place(key), True)
        return Operation(
            work=lambda tables, _: reads.find(tables, *given), writes=False, kind=FIND, given=given
        )

    def _own(self, work: Callable[[Tables, int], Any], **how: Any) -> Operation:
        return Operation(work=work, writes=True, member=self.member, **how)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    path = tmp_path / "runs.db"
    db = sqlite3.connect(path, isolation_level=None, factory=Connection)
    schema.prepare(db, "runs.db")
    locks = RecordLocks(f"{path}-lock")
    tables = Tables(db=db, lives=lambda _: True)
    groups = Groups(tables, locks, "runs.db", patience=1.0, check=lambda: None)
    yield Opened(path, db, locks, groups)
    db.close()
    locks.close()


def test_a_group_of_operations_runs_in_the_order_of_its_operations(opened: Opened) -> None:
    (hold,) = opened.run(opened.claim(new_claim()))
    assert opened.run(opened.withdraw(hold), opened.find()) == [None, None]
    (hold,) = opened.run(opened.claim(new_claim()))
    _, _, again = opened.run(opened.find(), opened.withdraw(hold), opened.claim(new_claim()))
    assert isinstance(again, Hold), "the withdrawal has freed the place"


def test_a_read_sees_the_writes_of_its_group(opened: Opened) -> None:
    first, second = opened.run(opened.claim(new_claim("a")), opened.claim(new_claim("b")))
    found, other, record = opened.run(
        opened.find("a"), opened.submitted(second, "request-2"), opened.submitted(first)
    )
    assert (found.state, other.state, record.state) == ("submitted",) * 3
    ended, found = opened.run(opened.end(first, done()), opened.find("a"))
    assert ended == attrs.evolve(found, input=None)


def test_an_entry_changed_by_another_process_does_not_affect_other_writes_of_the_group(
    opened: Opened,
) -> None:
    holds = opened.run(*(opened.claim(new_claim(key)) for key in "abc"))
    opened.db.execute("UPDATE entries SET version = 5 WHERE key = 'b'")
    records = opened.run(*(opened.submitted(hold, f"request-{hold.entry}") for hold in holds))
    assert [(record.state, record.version) for record in records] == [
        ("submitted", 2),
        ("submitted", 6),
        ("submitted", 2),
    ]


def test_a_claim_whose_rollback_fails_has_an_error_and_no_owner(opened: Opened) -> None:
    (hold,) = opened.run(opened.claim(new_claim("a")))
    opened.db.execute("UPDATE entries SET version = 5")
    opened.db.is_broken = True
    group = [opened.claim(new_claim("b")), opened.submitted(hold)]
    with pytest.raises(sqlite3.OperationalError) as caught:
        opened.groups.run(group)
    fail_what_is_open(group, caught.value, "runs.db")
    assert [operation.outcome for operation in group] == [None, None]
    assert all(isinstance(operation.error, LedgerError) for operation in group)


def test_a_damaged_row_fails_only_the_operation_that_reads_it(opened: Opened) -> None:
    holds = opened.run(*(opened.claim(new_claim(key, input="{}")) for key in "ab"))
    opened.db.execute("UPDATE inputs SET packed = 1, body = x'00' WHERE entry = ?", (holds[0].entry,))
    for _ in range(2):
        damaged, whole = opened.run(opened.find("a"), opened.find("b"))
        assert isinstance(damaged, LedgerError)
        assert whole.input == Payload(content_type="application/json", body=b"{}")
    damaged, whole, hold = opened.run(opened.find("a"), opened.find("b"), opened.claim(new_claim("c")))
    assert isinstance(damaged, LedgerError)
    assert (whole.state, hold.attempt) == ("claimed", 1)


def test_a_read_sees_one_state_although_another_process_writes_between_its_statements(opened: Opened) -> None:
    opened.run(opened.claim(new_claim()))
    other = sqlite3.connect(opened.path, isolation_level=None)

    def write_between(statement: str) -> None:
        if "FROM requests" in statement:
            other.execute("UPDATE requests SET request_id = 'late'")

    opened.db.set_trace_callback(write_between)
    (before,) = opened.run(opened.find())
    (after,) = opened.run(opened.find())
    other.close()
    assert [record.requests[0].request_id for record in (before, after)] == [None, "late"]


def test_a_claim_whose_event_loop_is_closed_is_withdrawn_even_after_its_owner_resigned(
    opened: Opened,
) -> None:
    loop = asyncio.new_event_loop()
    claim = opened.claim(new_claim(), loop=loop, if_lost=opened.withdraw)
    loop.close()
    resignation = Operation(work=resign, writes=True, member=opened.member, resigns=True)
    group = [claim, resignation]
    opened.groups.run(group)
    opened.groups.run(deliver(group))
    assert opened.run(opened.find()) == [None]


def test_the_log_gets_a_checkpoint_even_if_no_single_process_makes_it_long(opened: Opened) -> None:
    log = opened.path.with_name("runs.db-wal")
    idle = sqlite3.connect(opened.path)  # keeps the file open: closing it last would make a checkpoint
    for process in range(3):
        mine = WriteLog(opened.db, str(log), opened.locks, 1.0)
        opened.db.execute("CREATE TABLE IF NOT EXISTS other (body BLOB)")
        for _ in range(3):
            opened.db.execute("INSERT INTO other VALUES (zeroblob(1500000))")
        mine.carry_over_if_long()
        assert log.stat().st_size < 12_000_000, f"after {process + 1}"
    assert opened.path.stat().st_size > 8_000_000
    idle.close()


async def test_commits_are_flushed_to_disk_and_sqlite_makes_no_automatic_checkpoints(tmp_path: Path) -> None:
    store = await SqliteStore.open(str(tmp_path / "runs.db"))
    asked = [f"PRAGMA {name}" for name in ("synchronous", "fullfsync", "wal_autocheckpoint", "journal_mode")]
    found = await store._read(lambda tables, _: [tables.db.execute(pragma).fetchone()[0] for pragma in asked])
    assert found == [2, 1, 0, "wal"]
    await store.aclose()
