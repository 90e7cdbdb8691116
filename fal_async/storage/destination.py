"""Where a download goes: a file, or a folder where the server chooses the name."""

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
    """Without a name the file gets one that the server, or the output, suggests."""

    folder: Path
    name: str | None = None


async def target_of(to: Any) -> Target:
    """What the caller's `to` means; missing folders are made.

    ConfigurationError for what is no path, DownloadError for what can't be written to.
    """
    return await _on_disk(partial(_target_of, to))


async def folder_of(folder: Any) -> Path:
    """The same where it is a folder in any case."""
    return await _on_disk(lambda: _made(local_path("folder", folder)))


def _target_of(to: Any) -> Target:
    path = local_path("to", to)
    if _is_folder(path, os.fsdecode(to)):
        return Target(folder=_made(path))
    check_replaceable(path)
    if path.is_symlink():
        path = Path(os.path.realpath(path))  # the link stays: its file is replaced
    return Target(folder=_made(path.parent), name=path.name)


def _is_folder(path: Path, text: str) -> bool:
    """A path that does not exist is read as people mean it: pathlib drops the slash of `Path("downloads/")`."""
    if path.is_dir() or text.endswith(("/", os.sep)):
        return True
    if os.path.lexists(path):
        return False
    if "\\" in path.name:  # not on Windows, where it separates
        raise ConfigurationError(f"to={shown(text)}: a backslash separates nothing here: write '/'")
    return not has_ending(path.name)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_replaceable(path: Path) -> None:
    """DownloadError where something else than a regular file stands: no device or pipe is replaced. Blocks."""
    kind = kind_of_node(path)
    if kind is not None:
        raise DownloadError(f"{shown(path)} is {kind}: expected a file or a folder")


async def _on_disk(work: Callable[[], T]) -> T:
    try:
        return await in_thread(work)
    except OSError as error:
        raise DownloadError(f"{shown(error.filename)} can't be made: {why(error)}") from error
