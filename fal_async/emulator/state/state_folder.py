"""The folder of a saved state, which each save replaces as a whole.

`state.json` names the folder beside it that has the latest save, `saved-3`. A save writes a new folder first, then
replaces `state.json` in one step, then deletes the older folders: if it is killed at any moment, `state.json` names
a complete save. The folder itself is never
renamed, because it may be a mounted volume.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

FORMAT = 1
HEAD = "state.json"
_KIND = "fal_async emulator state"
_SAVE = re.compile(r"saved-(\d+)")
_UNFINISHED_HEAD = f"{HEAD}.tmp"
_one_at_a_time = threading.Lock()


@attrs.frozen(kw_only=True)
class Head:
    """The content of `state.json`.

    Attributes:
        saved: name of the folder with the save.
        version: version of the package that wrote it.
        url: base URL of the emulator that was saved, which is in the URLs of its files.
        kind: what the folder is.
        format: number of the format; a higher one can't be read.
    """

    saved: str
    version: str
    url: str
    kind: str = _KIND
    format: int = FORMAT


def damaged(path: Path, error: object) -> ValueError:
    """Return the error of a file that can't be used."""
    return ValueError(f"{path} can't be loaded as a saved state: {error}")


def is_unused(folder: Path) -> bool:
    """Return whether a folder doesn't exist, is empty, or has only the rest of a first save that was killed."""
    return not folder.exists() or (folder.is_dir() and all(_is_rest(path) for path in folder.iterdir()))


def _is_rest(path: Path) -> bool:
    return path.name == _UNFINISHED_HEAD or bool(_SAVE.fullmatch(path.name))


def read_head(folder: Path) -> Head:
    """Read `state.json`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If the folder is not a saved state, or one of a newer format.
    """
    path = folder / HEAD
    if not folder.exists():
        raise FileNotFoundError(
            f"{folder} does not exist: expected a folder that `emulator.save` has written"
        )
    if not path.is_file():
        raise ValueError(f"{folder} is not a saved state, since it has no {HEAD}")
    document = read_json(path)
    if not isinstance(document, dict) or document.get("kind") != _KIND:
        raise damaged(path, f"its kind is not {_KIND!r}")
    number = document.get("format")
    if number != FORMAT:
        raise damaged(path, f"its format is {number!r}, and this version of fal_async reads format {FORMAT}")
    saved, url = document.get("saved"), document.get("url")
    if not isinstance(saved, str) or not _SAVE.fullmatch(saved) or not isinstance(url, str):
        raise damaged(path, "expected 'saved', such as 'saved-1', and 'url'")
    return Head(saved=saved, version=str(document.get("version")), url=url)


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. Raise ValueError, which names the file, if it can't be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error


def check_target(folder: Path) -> None:
    """Raise ValueError unless a folder is unused or has a saved state, which a save may replace."""
    if is_unused(folder):
        return
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file: expected a folder for the state")
    try:
        read_head(folder)
    except ValueError as error:
        raise ValueError(
            f"the state is not saved to {folder}, which has something else: choose a new or empty folder ({error})"
        ) from error


def replace(folder: Path, head: Callable[[str], Head], fill: Callable[[Path], None]) -> None:
    """Save to a folder, in place of what it has. If anything fails, the folder is as before.

    Args:
        folder: the folder.
        head: returns the content of `state.json` for the name of the folder with the save.
        fill: writes the save into a new folder.

    Raises:
        OSError: If a file can't be written.
        ValueError: If the folder has something else than a saved state.
    """
    with _one_at_a_time:
        _replace(folder, head, fill)


def _replace(folder: Path, head: Callable[[str], Head], fill: Callable[[Path], None]) -> None:
    check_target(folder)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"saved-{max(_numbers(folder), default=0) + 1}"
    temporary = folder / _UNFINISHED_HEAD
    try:
        made.mkdir(mode=0o700)
        fill(made)
        write_private(temporary, json.dumps(attrs.asdict(head(made.name)), indent=2) + "\n")
        os.replace(temporary, folder / HEAD)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        temporary.unlink(missing_ok=True)
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise
    for number in _numbers(folder):
        if (older := folder / f"saved-{number}") != made:
            shutil.rmtree(older, ignore_errors=True)


def _numbers(folder: Path) -> list[int]:
    found = (_SAVE.fullmatch(path.name) for path in folder.iterdir())
    return [int(match[1]) for match in found if match]


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, since it may have keys and tokens."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
