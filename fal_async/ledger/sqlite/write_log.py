"""Checkpoints, which copy the write-ahead log beside a ledger's file into the file."""

from __future__ import annotations

import contextlib
import os
import sqlite3

from fal_async.ledger.sqlite.record_locks import COMMIT, RecordLocks

_ROWS = 4_000
"""Changed rows between two checkpoints: about 5 MB of log."""
_SIZE = 8 * 1024 * 1024
"""Bytes by which the log may grow between two checkpoints, as few rows with large payloads make it long, too."""
_LOOK_EVERY = 16
"""Turns between two checks of the log's size."""
_LARGEST = 16 * 1024 * 1024
"""Bytes. A log of at least this size is truncated by the checkpoint."""
_MOMENT = 0.1
"""Seconds that a checkpoint waits for its turn. That is short, because it can be made later."""


class WriteLog:
    """Makes checkpoints while no other process writes, without delaying other processes for long.

    Only the thread of the file uses it. After a checkpoint the log is overwritten from its beginning, not
    truncated: to flush a file that does not grow takes half as long. SQLite before 3.51.3 may damage a file if one
    process makes a checkpoint while another one writes.
    """

    def __init__(self, db: sqlite3.Connection, path: str, locks: RecordLocks, patience: float) -> None:
        self._db, self._path, self._locks, self._patience = db, path, locks, patience
        # The size begins with 0, so that the first check finds a long log of earlier processes, each of which may
        # have ended before its own checkpoint.
        self._rows_at, self._size_at = db.total_changes, 0
        self._turns = 0

    def carry_over_if_long(self) -> None:
        """Make a checkpoint if the log is long. Called after each turn."""
        with contextlib.suppress(OSError):  # a later turn tries again
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
            # After an error a later turn tries again. If the disk fails, the next write reports it.
            with contextlib.suppress(sqlite3.Error):
                # Don't wait for processes that read an old state.
                self._db.execute("PRAGMA busy_timeout = 0")
                self._db.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
        finally:
            self._db.execute(f"PRAGMA busy_timeout = {self._patience * 1000:.0f}")
        # If a reader has prevented a complete checkpoint, the next one is made after as many rows.
        self._rows_at, self._size_at = self._db.total_changes, _size(self._path)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
