"""The target of a download: a file, or a folder in which the server's name is used."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs

from fal_async.errors import ConfigurationError, DownloadError
from fal_async.protocol.storage.media import has_ending
from fal_async.storage.local_paths import kind_of_node, local_path, shown, why
from fal_async.storage.threads import in_thread

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Target:
    """Where a downloaded file is written."""

    folder: Path
    name: str | None = None
    """The file name that the caller chose; None: the server's name is used."""


async def target_of(to: Any) -> Target:
    """Resolve the caller's `to`, and create missing folders.

    Raises ConfigurationError if `to` is not a path, and DownloadError if a folder can't be created or the target is
    a device or a pipe.
    """
    return await _on_disk(partial(_target_of, to))


async def folder_of(folder: Any) -> Path:
    """Resolve a folder and create it if it is missing. Raises the errors of `target_of`."""
    return await _on_disk(lambda: _made(local_path("folder", folder)))


def _target_of(to: Any) -> Target:
    path = local_path("to", to)
    if _is_folder(path, os.fsdecode(to)):
        return Target(folder=_made(path))
    check_replaceable(path)
    if path.is_symlink():
        path = Path(os.path.realpath(path))  # replace the file that the link points to, not the link
    return Target(folder=_made(path.parent), name=path.name)


def _is_folder(path: Path, text: str) -> bool:
    """Return whether the target is a folder. `text` is the caller's path: pathlib drops a slash at its end."""
    if path.is_dir() or text.endswith(("/", os.sep)):
        return True
    if os.path.lexists(path):
        return False
    if "\\" in path.name:  # never on Windows, where it is a separator
        raise ConfigurationError(f"to={shown(text)}: a backslash does not separate folders here: write '/'")
    return not has_ending(path.name)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_replaceable(path: Path) -> None:
    """Raise DownloadError if `path` exists and is not a regular file, such as a device or a pipe. Blocks."""
    kind = kind_of_node(path)
    if kind is not None:
        raise DownloadError(f"{shown(path)} is {kind}: expected a file or a folder")


async def _on_disk(work: Callable[[], T]) -> T:
    try:
        return await in_thread(work)
    except OSError as error:
        raise DownloadError(f"{shown(error.filename)} can't be created: {why(error)}") from error
