"""The file of a ledger in this process: its thread, which owns the connection, and the queue of operations."""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
import time

from fal_async.errors import FalError, LedgerError, SessionStateError
from fal_async.ledger.sqlite import schema
from fal_async.ledger.sqlite.cleaning import clear_owners
from fal_async.ledger.sqlite.group_commit import Groups, Operation, deliver, fail_what_is_open
from fal_async.ledger.sqlite.location import check_place
from fal_async.ledger.sqlite.reads import Tables
from fal_async.ledger.sqlite.record_locks import COMMIT, RecordLocks, byte_of
from fal_async.ledger.sqlite.sqlite_errors import ledger_error, locked, name_of
from fal_async.ledger.sqlite.write_log import WriteLog

_AT_ONCE = 500
"""Most operations per transaction."""
_APART = 0.005
"""Seconds from one transaction to the next while several calls write concurrently, as each flushes to disk."""
_PRAGMAS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",  # otherwise a commit may only be in the disk's memory on macOS
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA cache_size = -8000",
)
FORKED = "this process was forked from one that has the ledger {} open: open the ledger after the fork"


class LedgerFile:
    """Opens the file in a new thread, which runs operations in sequence until `end`.

    Only a local variable of the thread refers to the connection. A forked child does not have this thread, so it
    never uses the connection, not even to close it.
    """

    def __init__(self, path: str, patience: float, previous: LedgerFile | None = None) -> None:
        """`previous` is an earlier object for the same file, which may still be closing."""
        self.path = path
        self.name: str = name_of(path)
        """The name in messages."""
        self._patience = patience
        self.users: int = 0
        """The number of stores that use this object; `open_files` counts them."""
        self.identity: tuple[int, int] | None = None
        """Device and inode of the file; None before it is open."""
        self._process = os.getpid()
        self._inbox: queue.SimpleQueue[Operation | None] = queue.SimpleQueue()
        # Reentrant, because a store may be garbage-collected during `hand`, and then calls `hand`, too.
        self._lock = threading.RLock()
        self._in_sqlite = threading.Lock()
        self._refusal: FalError | None = None
        self._last: Operation | None = None
        self._is_ending = False
        self._began, self._had_several = 0.0, False
        self._thread = threading.Thread(
            target=self._run, args=[previous], name="fal_async-ledger", daemon=True
        )
        self._thread.start()

    @property
    def is_usable(self) -> bool:
        """Whether it accepts operations: False once it is closed, or if it could not be opened."""
        return self._refusal is None

    def hand(self, operation: Operation) -> None:
        """Queue an operation.

        Raises SessionStateError in a forked child, and if the file is closed; LedgerError or ConfigurationError if
        it could not be opened.
        """
        if os.getpid() != self._process:
            raise SessionStateError(FORKED.format(self.name))
        with self._lock:
            if self._refusal is not None:
                raise ledger_error(self._refusal, self.name)
            self._inbox.put(operation)

    def end(self, last: Operation | None = None) -> None:
        """Close the file after all queued operations; then set the future of `last`."""
        with self._lock:
            if self._thread.is_alive() and not self._is_ending:
                self._last, self._is_ending = last, True
                self._refusal = self._refusal or SessionStateError(
                    f"the ledger {self.name} is closed: open it again"
                )
                self._inbox.put(None)
                return
        if last is not None:
            deliver([last])

    def pause(self, seconds: float) -> bool:
        """Prevent that the thread uses SQLite until `go_on`. False if it still uses SQLite after this time.

        A child that is forked while a thread uses SQLite inherits locked mutexes, and hangs as soon as it uses
        SQLite, for any file.
        """
        return self._in_sqlite.acquire(timeout=seconds)

    def go_on(self) -> None:
        """Allow the thread to use SQLite again."""
        self._in_sqlite.release()

    def wait_for_end(self, seconds: float) -> bool:
        """Wait until the file is closed; False if that takes longer than `seconds`."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self, previous: LedgerFile | None) -> None:
        reason: FalError = LedgerError(
            f"ledger {self.name}: its thread has ended unexpectedly: open it again"
        )
        try:
            if previous is not None and not previous.wait_for_end(3 * self._patience):
                raise LedgerError(
                    f"ledger {self.name}: it can't be opened yet, as it is still being closed: does the disk "
                    "respond?"
                )
            del previous
            self._work()
        except Exception as error:
            reason = ledger_error(error, self.name)
        finally:
            self._refuse_what_is_left(reason)

    def _work(self) -> None:
        check_place(self.path)
        with contextlib.ExitStack() as stack:
            locks = RecordLocks(self.path + "-lock")
            stack.callback(locks.close)
            if not locks.take_turn(self._patience):
                raise locked(self.name, self._patience)
            with self._in_sqlite:
                tables = self._open(locks, stack)
            locks.release(COMMIT)
            unchanged = _Unchanged(self.path, locks)
            groups = Groups(tables, locks, self.name, patience=self._patience, check=unchanged.check)
            self._serve(groups, WriteLog(tables.db, self.path + "-wal", locks, self._patience))

    def _open(self, locks: RecordLocks, stack: contextlib.ExitStack) -> Tables:
        _make(self.path)
        db = sqlite3.connect(self.path, timeout=self._patience, isolation_level=None)
        stack.callback(self._close, db)
        for pragma in _PRAGMAS:
            db.execute(pragma)
        schema.prepare(db, self.name)
        tables = Tables(db=db, lives=lambda owner: locks.is_held(byte_of(owner)))
        clear_owners(tables)
        status = os.stat(self.path)
        self.identity = status.st_dev, status.st_ino
        # The last process that closes the file makes a checkpoint. No other process may write at this time.
        stack.callback(locks.take_turn, self._patience)
        return tables

    def _close(self, db: sqlite3.Connection) -> None:
        with contextlib.ExitStack() as stack:
            if not self._in_sqlite.locked():  # already held if opening failed
                stack.enter_context(self._in_sqlite)
            db.close()

    def _serve(self, groups: Groups, log: WriteLog) -> None:
        while self._turn(groups, log):
            """The local variables of a turn are released here, so that a store can be garbage-collected."""

    def _turn(self, groups: Groups, log: WriteLog) -> bool:
        """Wait for operations and run them. Returns False after the last ones."""
        group, is_last = self._next()
        with self._in_sqlite:
            try:
                groups.run(group)
            except Exception as error:  # the connection is unusable, so the thread ends
                fail_what_is_open(group, error, self.name)
                raise
            finally:
                lost = deliver(group)
            groups.run(lost)
            log.carry_over_if_long()
        return not is_last

    def _next(self) -> tuple[list[Operation], bool]:
        """Wait for the next operations; return them, and whether they are the last ones."""
        first = self._inbox.get()
        if first is None:
            return [], True
        self._gather()
        group = [first]
        with contextlib.suppress(queue.Empty):
            while len(group) < _AT_ONCE:
                operation = self._inbox.get(block=False)
                if operation is None:
                    return group, True
                group.append(operation)
        self._had_several = len(group) > 1
        return group, False

    def _gather(self) -> None:
        """Pause if several calls write concurrently, to collect more of them. A single call is never delayed."""
        if self._had_several and (pause := self._began + _APART - time.monotonic()) > 0:
            time.sleep(pause)
        self._began = time.monotonic()

    def _refuse_what_is_left(self, reason: FalError) -> None:
        """Refuse the operations that are still queued, and all later ones."""
        with self._lock:
            self._refusal = self._refusal or reason
        left: list[Operation] = []
        with contextlib.suppress(queue.Empty):
            while True:
                operation = self._inbox.get(block=False)
                if operation is not None:
                    operation.error = ledger_error(reason, self.name)
                    left.append(operation)
        with self._lock:
            self._is_ending = True
            last = self._last
        deliver([*left, last] if last is not None else left)


class _Unchanged:
    """Checks that the open files still have their names. If not, no other process would see the new writes."""

    def __init__(self, path: str, locks: RecordLocks) -> None:
        self._path = path
        self._known = {path: _identity(path), path + "-lock": locks.identity()}

    def check(self) -> None:
        if any(_identity(path) != known for path, known in self._known.items()):
            raise LedgerError(
                f"ledger {name_of(self._path)}: the file or its -lock file was deleted or replaced while it was "
                "open: end all programs that use it, then open it again"
            )


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _make(path: str) -> None:
    """Create the file, readable by its owner only; SQLite gives the files beside it the same mode."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
