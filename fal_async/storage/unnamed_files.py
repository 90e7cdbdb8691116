"""Files without a name, which the system deletes when they are closed, even by SIGKILL (Linux: `O_TMPFILE`)."""

from __future__ import annotations

import os
import shutil
from io import FileIO
from pathlib import Path


def open_unnamed(folder: Path) -> FileIO | None:
    """Return a new unnamed file in `folder`. Blocks.

    Returns None if such a file can't be created: on other systems, on file systems without unnamed files, such as
    NFS, without `/proc`, or if `folder` is not writable.
    """
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None:
        return None
    try:
        file = FileIO(os.open(folder, flag | os.O_WRONLY, 0o666), "wb")
    except OSError:
        return None
    if not os.path.exists(path_of(file)):
        file.close()
        return None
    return file


def path_of(file: FileIO) -> Path:
    """Return a path at which this process can read the file while it is open."""
    return Path(f"/proc/self/fd/{file.fileno()}")


def give_name(file: FileIO, name: Path) -> None:
    """Give the file a name in its folder atomically. Blocks.

    Raises FileExistsError if the name exists, and another OSError if the system does not allow the link.
    """
    # With `src_dir_fd`, which is ignored for an absolute path, Python calls linkat: it follows the link in /proc.
    os.link(path_of(file), name, src_dir_fd=file.fileno(), follow_symlinks=True)


def give_name_or_copy(file: FileIO, name: Path) -> None:
    """Give the file a name that does not exist yet. If the system refuses the link, copy the file. Blocks."""
    try:
        give_name(file, name)
    except OSError:
        shutil.copyfile(path_of(file), name)
