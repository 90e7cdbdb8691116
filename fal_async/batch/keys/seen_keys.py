"""Which keys a batch has seen. Many keys are kept on disk, so that millions take little memory."""

from __future__ import annotations

import sqlite3

from fal_async.errors import LedgerError


class SeenKeys:
    """A private table in a temporary file of SQLite, which nothing else can open and which is deleted when closed.

    If that file can't be written, its methods raise LedgerError: no item may be mistaken for a new one.
    """

    def __init__(self) -> None:
        # With an empty name SQLite keeps the table in its small cache, and moves the rest to an unnamed file.
        self._table: sqlite3.Connection | None = sqlite3.connect(
            "", isolation_level=None, check_same_thread=False
        )
        self._do("PRAGMA journal_mode=OFF")
        self._do("BEGIN")
        self._do("CREATE TABLE seen (key TEXT PRIMARY KEY, digest TEXT, times INTEGER) WITHOUT ROWID")

    def occurrence(self, key: str) -> int:
        """Count the key, and return how often it was seen, this time included."""
        if self._do("INSERT OR IGNORE INTO seen VALUES (?, NULL, 1)", key).rowcount:
            return 1
        self._do("UPDATE seen SET times = times + 1 WHERE key = ?", key)
        times: int = self._do("SELECT times FROM seen WHERE key = ?", key).fetchone()[0]
        return times

    def first(self, key: str, digest: str) -> str | None:
        """Return the digest with which the key was first seen; None if this is the first time."""
        if self._do("INSERT OR IGNORE INTO seen VALUES (?, ?, 1)", key, digest).rowcount:
            return None
        seen: str = self._do("SELECT digest FROM seen WHERE key = ?", key).fetchone()[0]
        return seen

    def close(self) -> None:
        """Delete the table. Closing twice is allowed."""
        table, self._table = self._table, None
        if table is not None:
            table.close()

    def _do(self, statement: str, *values: str) -> sqlite3.Cursor:
        if self._table is None:
            raise LedgerError("the keys of this batch are no longer counted: the batch was left")
        try:
            return self._table.execute(statement, values)
        except sqlite3.Error as error:
            raise LedgerError(
                f"the keys of this batch can't be counted in a temporary file: {error}"
            ) from error
