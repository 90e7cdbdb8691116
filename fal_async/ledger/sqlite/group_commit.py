"""Run all waiting operations in one transaction, with one flush to disk.

A member is an open `Store` of the file. It becomes an owner, with a number and a lock, when it writes its first
claim.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from fal_async.errors import FalError, LedgerError
from fal_async.ledger.sqlite.alike import IS_POSSIBLE, Kind, UnlikeError
from fal_async.ledger.sqlite.reads import Tables
from fal_async.ledger.sqlite.record_locks import COMMIT, RecordLocks, byte_of
from fal_async.ledger.sqlite.sqlite_errors import is_lock, ledger_error, locked
from fal_async.protocol.ledger.entry import Owner


@attrs.define(kw_only=True, eq=False)
class Member:
    """An open `Store` of a file. `number`: its number as an owner; None before its first claim."""

    number: int | None = None


@attrs.define(kw_only=True, eq=False)
class Operation:
    """One piece of work on the tables, and the future that gets its outcome."""

    work: Callable[[Tables, int], Any]
    """Called with the tables and the number of the owner, which is 0 if the member is not an owner."""
    writes: bool
    """Whether it changes the tables, and needs the lock for writing."""
    kind: Kind | None = None
    """Operations of the same kind are run together; None: it is always run separately."""
    given: Any = None
    """The argument for `Kind.take`."""
    member: Member | None = None
    joins: bool = False
    """Whether the member becomes an owner, if it is not one already."""
    resigns: bool = False
    """Whether the member is no longer an owner afterwards, even if the operation has failed."""
    loop: asyncio.AbstractEventLoop | None = None
    future: asyncio.Future[Any] | None = None
    if_lost: Callable[[Any], Operation | None] | None = None
    """Called with the outcome if the waiting event loop was closed. Returns an operation that undoes it or None."""
    owner: int | None = None
    """The owner as which it is run; None: the current number of the member."""
    done_by: int = 0
    """The owner as which it was run."""
    outcome: Any = None
    error: FalError | None = None

    def after_loss(self) -> Operation | None:
        """Return the operation that undoes this one, whose event loop was closed; None if there is none."""
        if self.if_lost is None or self.error is not None or self.outcome is None:
            return None
        todo = self.if_lost(self.outcome)
        if todo is not None:
            todo.owner = self.done_by
        return todo


class Groups:
    """Runs operations on one open file; commits several writes together. Only the thread of the file uses it."""

    def __init__(
        self, tables: Tables, locks: RecordLocks, where: str, *, patience: float, check: Callable[[], None]
    ) -> None:
        """`check` raises LedgerError if the file is not the one that was opened."""
        self._tables, self._locks, self._where = tables, locks, where
        self._patience, self._check = patience, check
        self._db: sqlite3.Connection = tables.db

    def run(self, group: Sequence[Operation]) -> None:
        """Run each operation, and set its outcome or its error. One that fails does not affect the others."""
        try:
            self._run(group)
        finally:
            for operation in group:
                self._resign(operation)

    def _run(self, group: Sequence[Operation]) -> None:
        writes = [operation for operation in group if operation.writes]
        if not writes:
            self._read(group)
            return
        try:
            self._check()
            self._take_turn()
        except (LedgerError, OSError) as error:
            self._fail(writes, error)
            self._read([operation for operation in group if not operation.writes])
            return
        try:
            if not self._together(group):
                self._one_by_one(group)
        finally:
            self._locks.release(COMMIT)

    def _take_turn(self) -> None:
        if not self._locks.take_turn(self._patience):
            raise locked(self._where, self._patience)

    def _together(self, group: Sequence[Operation], *, alike: bool = IS_POSSIBLE) -> bool:
        """Run operations in one transaction. False if nothing was changed, and they must be run one by one."""
        joined: list[Member] = []
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._carry_out(group, joined, alike=alike)
            self._db.execute("COMMIT")
        except Exception as error:
            # The errors are set before the rollback, which may fail, too. Nothing is written in that case either.
            self._fail(group, locked(self._where, self._patience) if is_lock(error) else error)
            self._undo(joined)
            if isinstance(error, UnlikeError):
                return self._together(group, alike=False)
            return len(group) == 1 or is_lock(error)
        self._tables.is_written()
        return True

    def _carry_out(self, group: Sequence[Operation], joined: list[Member], *, alike: bool) -> None:
        """Run the operations in sequence, but combine those of one kind with no separate operation between them.

        Combined operations may run in another sequence, which is allowed, as their callers wait concurrently.
        Raises UnlikeError if some can't be combined, so that the caller rolls back.
        """
        taken: dict[Kind, list[tuple[Operation, Any]]] = {}
        for operation in group:
            kind, me = operation.kind, self._owner(operation, joined)
            operation.done_by = me
            given = kind.take(self._tables, me, operation.given) if alike and kind is not None else None
            if kind is not None and given is not None:
                taken.setdefault(kind, []).append((operation, given))
                continue
            self._run_kinds(taken)
            operation.outcome = operation.work(self._tables, me)
            operation.error = None
        self._run_kinds(taken)

    def _run_kinds(self, taken: dict[Kind, list[tuple[Operation, Any]]]) -> None:
        for kind in sorted(taken, key=lambda kind: kind.turn):
            some = taken.pop(kind)
            outcomes = kind.run(self._tables, [given for _, given in some])
            for (operation, _), outcome in zip(some, outcomes, strict=True):
                operation.error, operation.outcome = None, outcome

    def _one_by_one(self, group: Sequence[Operation]) -> None:
        for operation in group:
            if operation.writes:
                self._together([operation])
            else:
                self._read([operation])

    def _read(self, group: Sequence[Operation], *, alike: bool = IS_POSSIBLE) -> None:
        """Run reads, each on one consistent state of the file."""
        try:
            self._db.execute("BEGIN")
            self._carry_out(group, [], alike=alike)
        except Exception as error:  # such as an unreadable row, which must fail only the read that needs it
            self._fail(group, error)
            if len(group) > 1:
                self._end_read()
                for operation in group:
                    self._read([operation], alike=False)
        finally:
            self._end_read()

    def _end_read(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _fail(self, group: Sequence[Operation], error: Exception) -> None:
        # Each operation gets its own error, because raising an error adds a traceback to it.
        for operation in group:
            operation.outcome, operation.error = None, ledger_error(error, self._where)

    def _undo(self, joined: Sequence[Member]) -> None:
        if self._db.in_transaction:  # False on a full disk: SQLite has rolled back already
            self._db.execute("ROLLBACK")
        self._tables.forget_what_was_written()
        for member in joined:
            assert member.number is not None
            self._locks.release(byte_of(member.number))
            self._tables.owners.pop(member.number, None)
            member.number = None

    def _owner(self, operation: Operation, joined: list[Member]) -> int:
        """Return the owner as which to run the operation; 0 without one. A new owner is added to `joined`."""
        member = operation.member
        if operation.owner is not None or member is None:
            return operation.owner or 0
        if member.number is None and operation.joins:
            member.number = self._new_owner()
            joined.append(member)
        return member.number or 0

    def _resign(self, operation: Operation) -> None:
        if operation.resigns and operation.member is not None and operation.member.number is not None:
            self._locks.release(byte_of(operation.member.number))
            self._tables.owners.pop(operation.member.number, None)
            operation.member.number = None

    def _new_owner(self) -> int:
        host, pid, since = socket.gethostname(), os.getpid(), time.time()
        number = self._db.execute(
            "INSERT INTO owners (host, pid, since) VALUES (?, ?, ?)", (host, pid, since)
        ).lastrowid
        assert number is not None
        self._tables.owners[number] = Owner(number=number, host=host, pid=pid, since=since)
        if not self._locks.try_hold(byte_of(number)):
            raise LedgerError(
                f"ledger {self._where}: another process has the lock of its new owner {number}: does each ledger "
                "have its own -lock file?"
            )
        return number


def fail_what_is_open(group: Sequence[Operation], error: Exception, where: str) -> None:
    """Set this error for the operations that have neither an outcome nor an error after an interrupted run."""
    for operation in group:
        if operation.outcome is None and operation.error is None:
            operation.error = ledger_error(error, where)


def deliver(group: Sequence[Operation]) -> list[Operation]:
    """Set the futures, with one call per event loop.

    Returns the operations that undo those whose event loop was closed.
    """
    by_loop: dict[asyncio.AbstractEventLoop, list[Operation]] = {}
    for operation in group:
        if operation.loop is not None:
            by_loop.setdefault(operation.loop, []).append(operation)
    lost: list[Operation] = []
    for loop, operations in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, operations)
        except RuntimeError:
            lost += operations
    return [todo for operation in lost if (todo := operation.after_loss()) is not None]


def _settle(operations: Sequence[Operation]) -> None:
    for operation in operations:
        future = operation.future
        if future is None or future.done():
            continue
        if operation.error is not None:
            future.set_exception(operation.error)
        else:
            future.set_result(operation.outcome)
