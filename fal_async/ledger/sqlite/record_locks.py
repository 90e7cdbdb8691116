"""Locks between processes, on single bytes of one lock file.

POSIX record locks belong to the process, not to the file object: a forked child does not have them, and the system
releases them when the process ends, also if it is killed. But closing *any* file object of the file releases them
all, and a process does not see its own locks. So a process opens the file once, in one thread, and remembers its
locks.
"""

from __future__ import annotations

import errno
import os
import sys
import time

COMMIT = 0
"""The byte that is locked during each transaction that writes, and each checkpoint."""
TURN = 1
"""The byte that is locked while waiting for COMMIT, so that a process that writes all the time delays no other."""
_OWNERS = 1024
"""The byte of owner 0."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0002, 0.005
"""Seconds between two attempts to lock a byte: the pause grows from the first value to the second."""


def byte_of(owner: int) -> int:
    """Return the byte that an owner locks as long as it has the ledger open."""
    return _OWNERS + owner


if sys.platform == "win32":
    # This code has never run, as no Windows was available. A locked byte may lie beyond the end of the file.
    import msvcrt

    def _lock(file: int, byte: int, shared: bool) -> None:  # noqa: ARG001 (there is no shared kind)
        os.lseek(file, byte, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def _unlock(file: int, byte: int) -> None:
        os.lseek(file, byte, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _lock(file: int, byte: int, shared: bool) -> None:
        fcntl.lockf(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB, 1, byte)

    def _unlock(file: int, byte: int) -> None:
        fcntl.lockf(file, fcntl.LOCK_UN, 1, byte)


class RecordLocks:
    """The locks of this process on one lock file. Only one thread may use it."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        self._held: set[int] = set()

    def identity(self) -> tuple[int, int]:
        """Return device and inode of the lock file."""
        status = os.fstat(self._file)
        return status.st_dev, status.st_ino

    def try_hold(self, byte: int) -> bool:
        """Take an exclusive lock. False if this process or another one has it."""
        return byte not in self._held and self._try(byte, shared=False)

    def hold(self, byte: int, patience: float) -> bool:
        """Take an exclusive lock, waiting at most `patience` seconds. False if it was not available by then."""
        if self.try_hold(byte):
            return True
        until, pause = time.monotonic() + patience, _FIRST_PAUSE
        while time.monotonic() < until:
            time.sleep(pause)
            if self.try_hold(byte):
                return True
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return False

    def take_turn(self, patience: float) -> bool:
        """Lock COMMIT, in turn with other processes. False if it was not available for `patience` seconds."""
        until = time.monotonic() + patience
        if not self.hold(TURN, patience):
            return False
        try:
            return self.hold(COMMIT, until - time.monotonic())
        finally:
            self.release(TURN)

    def release(self, byte: int) -> None:
        if byte in self._held:
            self._held.discard(byte)
            _unlock(self._file, byte)

    def is_held(self, byte: int) -> bool:
        """Return whether this process or another one has the lock.

        If no process has it, the test takes the lock for a moment, shared. This is harmless: an owner takes its
        lock before another process can know its number.
        """
        if byte in self._held:
            return True
        if not self._try(byte, shared=True):
            return True
        self._held.discard(byte)
        _unlock(self._file, byte)
        return False

    def _try(self, byte: int, *, shared: bool) -> bool:
        try:
            _lock(self._file, byte, shared)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        self._held.add(byte)
        return True

    def close(self) -> None:
        """Release all locks."""
        os.close(self._file)
        self._held.clear()
