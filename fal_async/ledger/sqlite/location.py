"""Check where the file of a ledger may be, before anything is written."""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fal_async.errors import ConfigurationError, LedgerError, one_line
from fal_async.ledger.sqlite import schema
from fal_async.ledger.sqlite.sqlite_errors import name_of

_MOUNTS = Path("/proc/self/mountinfo")
_REMOTE = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "fakeowner", "fuseblk", "gfs2", "glusterfs", "gpfs"),
        *("grpcfuse", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "osxfs", "pvfs2", "prl_fs", "smb3", "smbfs"),
        *("vboxsf", "virtiofs", "vmhgfs"),
    }
)
"""File systems whose locks are unreliable, or that do not report when data is on disk."""
Mounts = list[tuple[str, str]]
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:")  # not a single letter, which is a drive of Windows
_WAY_OUT = "pass the path of a file, such as 'runs.db': a ledger must outlive the process"


def path_of(where: str | os.PathLike[str]) -> str:
    """Return the real path of `where`: a path, `sqlite:///relative` or `sqlite:////absolute`.

    Raises ConfigurationError if it is not the path of a file, or if its folder is missing.
    """
    given = os.fspath(where)
    path = _without_scheme(given) if isinstance(where, str) else given
    if not path.strip() or path == ":memory:" or path.startswith("file:") or "\0" in path:
        raise ConfigurationError(f"ledger={one_line(given, 40)!r}: {_WAY_OUT}")
    real = os.path.realpath(os.path.expanduser(path))
    folder = os.path.dirname(real)
    if not os.path.isdir(folder):
        raise ConfigurationError(f"ledger {name_of(real)}: its folder does not exist: create it first")
    if os.path.isdir(real):
        raise ConfigurationError(f"ledger {name_of(real)}: this is a folder: pass the path of a file in it")
    return real


def _without_scheme(where: str) -> str:
    if not _SCHEME.match(where):
        return where
    url = urlsplit(where)
    if url.scheme != "sqlite" or url.query or url.netloc:
        raise ConfigurationError(
            f"ledger={one_line(url.scheme, 40)}:...: expected a path, or sqlite:///runs.db (relative), "
            "sqlite:////data/runs.db (absolute), postgresql://host/database"
        )
    return unquote(url.path.removeprefix("/"))


def check_place(path: str) -> None:
    """Raise ConfigurationError if locks or flushes may not work for this file, or if the file is not a ledger.

    Only for a file that this process has not opened, as this function opens and closes it, which would release
    SQLite's locks.
    """
    check_mounts(path, current_mounts())
    _check_file(path)


def check_mounts(path: str, mounts: Mounts) -> None:
    """Raise ConfigurationError if the file itself is a mount point, or on a file system with unreliable locks."""
    if path in {point for point, _ in mounts}:
        raise ConfigurationError(
            f"ledger {name_of(path)}: mount its folder, not only the file: the log and the lock beside it would be "
            "lost with this container"
        )
    kind = file_system(os.path.dirname(path), mounts)
    if kind is not None and is_remote(kind):
        raise ConfigurationError(
            f"ledger {name_of(path)}: use a local disk, or PostgreSQL for several machines: locks are unreliable "
            f"on a network file system ({kind})"
        )


def _check_file(path: str) -> None:
    log = _size(path + "-wal")  # read before the file, as the log is created after the file has its tables
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"ledger {name_of(path)}: not a regular file: pass another path")
    if status.st_nlink > 1:
        raise ConfigurationError(
            f"ledger {name_of(path)}: the file has {status.st_nlink} names (hard links), but each needs its own "
            "log: copy the file instead"
        )
    if status.st_size == 0:
        if log:
            raise LedgerError(
                f"ledger {name_of(path)}: the file is damaged: it is empty, but the -wal file beside it is not. "
                "Don't delete them: they contain the ids of paid requests"
            )
        return
    with open(path, "rb") as file:
        header = file.read(schema.HEADER_SIZE)
    if not schema.is_ledger(header):
        kind = "an SQLite file of another program" if schema.is_sqlite(header) else "not an SQLite file"
        raise ConfigurationError(
            f"ledger {name_of(path)}: the file is {kind}. It was not changed: pass another path"
        )


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def is_remote(kind: str) -> bool:
    return kind in _REMOTE or kind == "fuse" or kind.startswith("fuse.")


def file_system(folder: str, mounts: Mounts) -> str | None:
    """Return the type of the file system of a folder; None if the operating system does not say it.

    It is the type of the innermost mount point that contains the folder. If there are several mounts at this point,
    the last one counts.
    """
    if sys.platform == "win32":
        return "smb3" if folder.startswith("\\\\") else None
    best, found = -1, None
    for point, kind in mounts:
        is_above = folder == point or folder.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= best:
            best, found = len(point), kind
    return found


def current_mounts() -> Mounts:
    """Return the mounts of this process; none if the operating system does not tell them."""
    try:
        return mounts_of(_MOUNTS.read_text(errors="surrogateescape"))
    except OSError:
        return []  # not Linux


def mounts_of(text: str) -> Mounts:
    """Return mount points and their types, in the sequence of /proc/self/mountinfo, whose content is `text`."""
    found = []
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields.split(" ")[4])
        found.append((point, rest.split(" ")[0]))
    return found
