"""The write-ahead log beside a ledger's file: when it is carried over into the file."""

from __future__ import annotations

import contextlib
import os
import sqlite3

from fal_async.ledger.sqlite.record_locks import COMMIT, RecordLocks

_ROWS = 4_000
"""Changed rows after which it is carried over: some 5 MB of log."""
_SIZE = 8 * 1024 * 1024
"""Bytes by which it may grow meanwhile, for large payloads make it long with few rows."""
_LOOK_EVERY = 16
"""Turns between two looks at its size."""
_LARGEST = 16 * 1024 * 1024
"""Bytes from which on the disk gets them back."""
_MOMENT = 0.1
"""Seconds that carrying it over waits for its turn: it can be done later."""


class WriteLog:
    """Carried over by us, alone, and never while others wait for long. Used by the file's thread.

    It is written again from its beginning then, not cut: a flush of a file that does not grow costs half as much.
    SQLite before 3.51.3 may damage a file if one process carries over while another one writes.
    """

    def __init__(self, db: sqlite3.Connection, path: str, locks: RecordLocks, patience: float) -> None:
        self._db, self._path, self._locks, self._patience = db, path, locks, patience
        # Of one that others left long, the first look begins: each of them may have been too short to do so.
        self._rows_at, self._size_at = db.total_changes, 0
        self._turns = 0

    def carry_over_if_long(self) -> None:
        """After each turn."""
        with contextlib.suppress(OSError):  # tried again
            if self._is_long() and self._locks.take_turn(_MOMENT):
                try:
                    self._carry_over()
                finally:
                    self._locks.release(COMMIT)

    def _is_long(self) -> bool:
        if self._db.total_changes - self._rows_at >= _ROWS:
            return True
        self._turns += 1
        return self._turns % _LOOK_EVERY == 1 and _size(self._path) - self._size_at >= _SIZE

    def _carry_over(self) -> None:
        how = "TRUNCATE" if _size(self._path) >= _LARGEST else "RESTART"
        try:
            with contextlib.suppress(sqlite3.Error):  # tried again; a disk that fails shows with a write
                self._db.execute("PRAGMA busy_timeout = 0")  # who reads an old state is not waited for
                self._db.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
        finally:
            self._db.execute(f"PRAGMA busy_timeout = {self._patience * 1000:.0f}")
        # Where a reader kept it from all of it: again after as many rows.
        self._rows_at, self._size_at = self._db.total_changes, _size(self._path)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
