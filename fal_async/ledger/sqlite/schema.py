"""The tables of a ledger's file, and how a file is recognised as a ledger."""

from __future__ import annotations

import sqlite3

from fal_async.errors import ConfigurationError, LedgerError

APPLICATION_ID = 0x66616C31
"""Stored in the header of each ledger, to distinguish it from other SQLite files without opening it with SQLite."""
VERSION = 1
"""The version of the tables."""
MIN_VERSION = 1
"""Stored in the file: a program whose VERSION is lower than the `min_version` of a file refuses the file."""
HEADER_SIZE = 100
"""Bytes of the header of an SQLite file."""
_MAGIC = b"SQLite format 3\0"
_AT_APPLICATION_ID = slice(68, 72)

# An entry has no `ended_at` before its outcome, and no owner after it. Amounts are text, as SQLite has no decimals.
# `requests.final` is the value that `entries.final` got with the outcome of that attempt. The token of an attempt
# is part of its webhook URL.
_TABLES = """
CREATE TABLE meta (version INTEGER NOT NULL, min_version INTEGER NOT NULL);
CREATE TABLE origins (id INTEGER PRIMARY KEY, url TEXT NOT NULL UNIQUE);
CREATE TABLE spaces (
    id INTEGER PRIMARY KEY, origin INTEGER NOT NULL, tenant TEXT NOT NULL, run TEXT NOT NULL,
    UNIQUE (origin, tenant, run));
CREATE TABLE owners (
    id INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, pid INTEGER NOT NULL, since REAL NOT NULL);
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, space INTEGER NOT NULL, key TEXT NOT NULL,
    version INTEGER NOT NULL, endpoint_id TEXT NOT NULL, input_digest TEXT NOT NULL,
    state TEXT NOT NULL, final INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL, owner INTEGER,
    claimed_at REAL NOT NULL, submitted_at REAL, ended_at REAL,
    headers TEXT, expired INTEGER NOT NULL DEFAULT 0,
    UNIQUE (space, key));
CREATE INDEX entries_under_way ON entries (space) WHERE ended_at IS NULL;
CREATE TABLE requests (
    entry INTEGER NOT NULL, n INTEGER NOT NULL, origin INTEGER NOT NULL, body_digest TEXT, request_id TEXT,
    claimed_at REAL NOT NULL, claimed_until REAL NOT NULL, submitted_at REAL, ended_at REAL,
    outcome TEXT, final INTEGER NOT NULL DEFAULT 0, units TEXT, cost TEXT, cancel_requested_at REAL,
    token TEXT, PRIMARY KEY (entry, n)) WITHOUT ROWID;
CREATE UNIQUE INDEX requests_by_id ON requests (request_id, origin) WHERE request_id IS NOT NULL;
CREATE UNIQUE INDEX requests_by_token ON requests (token) WHERE token IS NOT NULL;
CREATE TABLE inputs (entry INTEGER PRIMARY KEY, type TEXT NOT NULL, packed INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE ends (entry INTEGER PRIMARY KEY, type TEXT NOT NULL, packed INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE files (
    entry INTEGER NOT NULL, n INTEGER NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (entry, n)) WITHOUT ROWID;
"""
_MIGRATIONS: dict[int, str] = {}
"""SQL by the version that it results in. Within a major version of the package, migrations only add things."""


def is_ledger(header: bytes) -> bool:
    """Return whether a file with this header is a ledger."""
    mark = APPLICATION_ID.to_bytes(4, "big")
    return header.startswith(_MAGIC) and header[_AT_APPLICATION_ID] == mark


def is_sqlite(header: bytes) -> bool:
    return header.startswith(_MAGIC)


def prepare(db: sqlite3.Connection, where: str) -> None:
    """Create the tables of a new file, or migrate an older one. The caller holds COMMIT.

    Raises ConfigurationError if the file needs a newer version of the package.
    """
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        _create(db)
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise LedgerError(
            f"ledger {where}: use a local disk: SQLite can't keep a log beside this file (journal mode {mode})"
        )
    found, least = db.execute("SELECT version, min_version FROM meta").fetchone()
    if least > VERSION:
        raise ConfigurationError(
            f"ledger {where}: it was written by a newer version of fal_async: update the package"
        )
    if found < VERSION:
        _migrate(db, found)


def _create(db: sqlite3.Connection) -> None:
    # WAL mode is set later, so that the application id is in the file itself and not only in the log beside it.
    db.execute("PRAGMA journal_mode = DELETE")
    _run(db, f"PRAGMA application_id = {APPLICATION_ID};{_TABLES}", VERSION)


def _migrate(db: sqlite3.Connection, found: int) -> None:
    for version in range(found + 1, VERSION + 1):
        _run(db, _MIGRATIONS[version], version)


def _run(db: sqlite3.Connection, script: str, version: int) -> None:
    """Run the script and store the version, in one transaction."""
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement in script.split(";"):
            db.execute(statement)
        db.execute("DELETE FROM meta")
        db.execute("INSERT INTO meta (version, min_version) VALUES (?, ?)", (version, MIN_VERSION))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
