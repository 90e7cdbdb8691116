"""The ledgers that this process has open. Each file is opened once, for all stores that use it.

Record locks belong to the process, and are released as soon as any file object of the file is closed. If a file
were opened twice, closing one file object would release the locks of the other.
"""

from __future__ import annotations

import os
import threading

from fal_async.errors import SessionStateError
from fal_async.ledger.sqlite.group_commit import Operation
from fal_async.ledger.sqlite.ledger_file import FORKED, LedgerFile
from fal_async.ledger.sqlite.sqlite_errors import name_of

_MOMENT = 1.0
"""Seconds that a fork waits for a running write."""


class _OpenFiles:
    def __init__(self, inherited: dict[tuple[int, int], str] | None = None) -> None:
        self._lock = threading.RLock()  # reentrant, because a store may be garbage-collected while it is held
        self._files: dict[str, LedgerFile] = {}
        self._closing: dict[str, LedgerFile] = {}
        self._paused: list[LedgerFile] = []
        self._inherited = inherited or {}
        """Files that were open when this process was forked. Their SQLite locks belong to the parent."""

    def acquire(self, path: str, patience: float) -> LedgerFile:
        """Return the open file at this path, opened first if necessary; call `release` once for it.

        Raises SessionStateError if the parent process had the file open when this process was forked.
        """
        identity = _identity(path)
        with self._lock:
            if identity in self._inherited:
                raise SessionStateError(FORKED.format(name_of(path)))
            file = self._open_one(path, identity)
            if file is None:
                file = self._files[path] = LedgerFile(path, patience, self._closing.pop(path, None))
            file.users += 1
            return file

    def _open_one(self, path: str, identity: tuple[int, int] | None) -> LedgerFile | None:
        """Return the object of a file that is already open and usable, or None."""
        file = self._files.get(path)
        if file is None and identity is not None:  # the same file by another path, such as a bind mount
            file = next((other for other in list(self._files.values()) if other.identity == identity), None)
        return file if file is not None and file.is_usable else None

    def release(self, file: LedgerFile, last: Operation | None) -> bool:
        """End one use of the file. True if that closes it; the future of `last` is set when it is closed."""
        with self._lock:
            file.users -= 1
            if file.users:
                return False
            if self._files.get(file.path) is file:
                del self._files[file.path]
            self._closing = {
                path: other for path, other in list(self._closing.items()) if not other.wait_for_end(0)
            }
            self._closing[file.path] = file
        file.end(last)
        return True

    def before_fork(self) -> None:
        """Pause the threads of all files, so that the child does not inherit SQLite's mutexes in a locked state."""
        files = (*self._files.values(), *self._closing.values())
        self._paused = [file for file in files if file.pause(_MOMENT)]

    def after_fork(self) -> None:
        """Let the paused threads continue, in the parent process."""
        for file in self._paused:
            file.go_on()
        self._paused = []

    def in_a_child(self) -> _OpenFiles:
        """Return the open files of a forked child. There are none, but it knows which files the parent has open."""
        inherited = dict(self._inherited)
        for file in (*self._files.values(), *self._closing.values()):
            if file.identity is not None:
                inherited[file.identity] = file.path
        return _OpenFiles(inherited)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


_open_files: _OpenFiles | None = None


def open_files() -> _OpenFiles:
    """Return the open files of this process. A forked child has none at first."""
    global _open_files
    if _open_files is None:
        _open_files = _OpenFiles()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=lambda: open_files().before_fork(),
                after_in_parent=lambda: open_files().after_fork(),
                after_in_child=_begin_anew,
            )
    return _open_files


def _begin_anew() -> None:
    global _open_files
    _open_files = open_files().in_a_child()
