"""Paths on this machine that a caller gives: what they mean, and what may be written over."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fal_async.errors import ConfigurationError

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def local_path(name: str, value: object) -> Path:
    """The path of an argument called `name`, with `~` and `~user` expanded.

    ConfigurationError for what is none: another type, an empty text, characters that no path has.
    """
    if not isinstance(value, str | os.PathLike):
        raise ConfigurationError(f"{name} is a {type(value).__name__}: expected a path")
    try:
        text = os.fsdecode(value)
        os.fsencode(text)
    except (TypeError, UnicodeError) as error:
        raise ConfigurationError(f"{name} is no path: {error}") from error
    if not text:
        raise ConfigurationError(
            f"{name} is an empty text: expected a path, such as '.' for the current folder"
        )
    if "\0" in text:
        raise ConfigurationError(f"{name}={shown(text)}: a path has no NUL in it")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigurationError(
            f"{name}={shown(text)}: whose home folder that is, is not known here"
        ) from error


def kind_of_node(path: Path) -> str | None:
    """What stands at `path`, links followed, if that is no regular file: "a named pipe". None also for nothing.

    Blocks. OSError where it can't be told.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISREG(mode):
        return None
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "no regular file")


def shown(path: object) -> str:
    """For messages: in quotes, the middle of a long one left out."""
    text = str(path)
    return repr(text if len(text) <= 90 else f"{text[:40]}...{text[-40:]}")


def why(error: BaseException) -> str:
    """What the system, or whoever raised it, says of a file that can't be read or written."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
