"""Checkpoints: copying the write-ahead log beside a ledger's file into the file."""

from __future__ import annotations

import contextlib
import os
import sqlite3

from fal_async.ledger.sqlite.record_locks import COMMIT, RecordLocks

_ROWS = 4_000
"""Changed rows between two checkpoints: about 5 MB of log."""
_SIZE = 8 * 1024 * 1024
"""Bytes by which the log may grow between two checkpoints: large payloads make it long with few rows."""
_LOOK_EVERY = 16
"""Turns between two checks of its size."""
_LARGEST = 16 * 1024 * 1024
"""Bytes: a log of at least this size is truncated."""
_MOMENT = 0.1
"""Seconds that a checkpoint waits for its turn: it can be made later."""


class WriteLog:
    """Makes the checkpoints, while no other process writes, and never delays others for long.

    Used by the thread of the file. After a checkpoint the log is overwritten from its beginning, not truncated: a
    flush of a file that does not grow costs half as much. SQLite before 3.51.3 may damage a file if one process
    makes a checkpoint while another one writes.
    """

    def __init__(self, db: sqlite3.Connection, path: str, locks: RecordLocks, patience: float) -> None:
        self._db, self._path, self._locks, self._patience = db, path, locks, patience
        # From size 0, so that the first check finds a long log that earlier processes have left: each of them may
        # have ended before its own checkpoint.
        self._rows_at, self._size_at = db.total_changes, 0
        self._turns = 0

    def carry_over_if_long(self) -> None:
        """Make a checkpoint if the log is long. Called after each turn."""
        with contextlib.suppress(OSError):  # retried later
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
            with contextlib.suppress(sqlite3.Error):  # retried later; a failing disk shows with a write
                self._db.execute(
                    "PRAGMA busy_timeout = 0"
                )  # do not wait for processes that read an old state
                self._db.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
        finally:
            self._db.execute(f"PRAGMA busy_timeout = {self._patience * 1000:.0f}")
        # If a reader prevented a complete checkpoint, the next one follows after as many rows.
        self._rows_at, self._size_at = self._db.total_changes, _size(self._path)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
