"""The keys that a batch has seen, in a temporary file, so that millions of them need little memory."""

from __future__ import annotations

import sqlite3

from fal_async.errors import LedgerError


class SeenKeys:
    """A table in an unnamed temporary file of SQLite, which only this object can open, and which `close` deletes.

    If the file can't be written, the methods raise LedgerError, because without it a key that was seen before would
    count as new.
    """

    def __init__(self) -> None:
        # With an empty name SQLite keeps the table in its small cache, and the part that does not fit in that file.
        self._table: sqlite3.Connection | None = sqlite3.connect(
            "", isolation_level=None, check_same_thread=False
        )
        self._do("PRAGMA journal_mode=OFF")
        self._do("BEGIN")
        self._do("CREATE TABLE seen (key TEXT PRIMARY KEY, digest TEXT, times INTEGER) WITHOUT ROWID")

    def occurrence(self, key: str) -> int:
        """Count the key, and return how often it was seen, including this time."""
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
            raise LedgerError("the batch was left: create another one with fal.map(...)")
        try:
            return self._table.execute(statement, values)
        except sqlite3.Error as error:
            raise LedgerError(
                "the keys of this batch can't be stored in a temporary file; free some disk space there, or set "
                f"SQLITE_TMPDIR to another folder: {error}"
            ) from error
