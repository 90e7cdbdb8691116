"""Translate errors of SQLite and of the operating system into messages that say what to do."""

from __future__ import annotations

import copy
import errno
import sqlite3

from fal_async.errors import FalError, LedgerError

PATIENCE = 10.0
"""Seconds that a write waits for a lock of another process."""
_PRIMARY = 0xFF
_LONGEST_PATH = 60
_DISK_IS_FULL = "the disk is full: free some space. Earlier writes are kept"
_SAYINGS = {
    "SQLITE_BUSY": "another process keeps it locked: is a process stopped during a write?",
    "SQLITE_FULL": _DISK_IS_FULL,
    "SQLITE_READONLY": "it can't be written: the file or its folder is read-only",
    "SQLITE_CANTOPEN": "it can't be opened: may this user read and write the file and its folder?",
    "SQLITE_PERM": "it can't be written: this user has no permission",
    "SQLITE_CORRUPT": "the file is damaged. Don't delete it: it contains the ids of paid requests",
    "SQLITE_NOTADB": "the file is damaged. Don't delete it: it contains the ids of paid requests",
}
_SAYINGS["SQLITE_LOCKED"] = _SAYINGS["SQLITE_BUSY"]
_ERRNOS = {
    errno.ENOSPC: _DISK_IS_FULL,
    errno.EDQUOT: "the disk quota is used up: free some space. Earlier writes are kept",
    errno.EROFS: "it can't be written: the file system is read-only",
    errno.EACCES: "it can't be opened: may this user read and write the file and its folder?",
    errno.EPERM: "it can't be opened: may this user read and write the file and its folder?",
    errno.EMFILE: "this process has too many open files: close some, or raise the limit (ulimit -n)",
    errno.ENFILE: "the system has too many open files: close some",
}
_BY_CODE = {getattr(sqlite3, name): saying for name, saying in _SAYINGS.items()}


def name_of(path: str) -> str:
    """Return the last 60 characters of a path for messages, which are cut at 200."""
    return path if len(path) <= _LONGEST_PATH else "..." + path[-_LONGEST_PATH:]


def locked(where: str, patience: float) -> LedgerError:
    """Return the error for a lock that another process has not released for `patience` seconds."""
    return LedgerError(
        f"ledger {where}: another process has kept it locked for {patience:g} s: is a process stopped during a "
        "write?"
    )


def is_lock(error: Exception) -> bool:
    """Return whether the error is that another process has kept a lock of SQLite for longer than PATIENCE."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & _PRIMARY in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def ledger_error(error: Exception, where: str) -> FalError:
    """Return a LedgerError for an error of SQLite or of the operating system, which becomes its cause.

    A FalError is copied, so that each caller raises its own error.
    """
    if isinstance(error, FalError):
        return copy.copy(error)
    made = LedgerError(f"ledger {where}: {_saying(error)}")
    made.__cause__ = error
    return made


def _saying(error: Exception) -> str:
    if isinstance(error, OSError):
        return _ERRNOS.get(error.errno or 0, f"{error.strerror or error}")
    code = getattr(error, "sqlite_errorcode", None)
    saying = None if code is None else _BY_CODE.get(code & _PRIMARY)
    return saying or f"{error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
