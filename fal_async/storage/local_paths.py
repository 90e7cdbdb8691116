"""Check local paths that the caller passed, and format them for error messages."""

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
    """Return the path in the argument `name`, with `~` and `~user` expanded.

    Raises ConfigurationError if it has another type, is empty, or contains characters that a path can't contain.
    """
    if not isinstance(value, str | os.PathLike):
        raise ConfigurationError(f"{name} is of type {type(value).__name__}: expected a path")
    try:
        text = os.fsdecode(value)
        os.fsencode(text)
    except (TypeError, UnicodeError) as error:
        raise ConfigurationError(f"{name} is not a path: {error}") from error
    if not text:
        raise ConfigurationError(f"{name} is empty: expected a path, such as '.' for the current folder")
    if "\0" in text:
        raise ConfigurationError(f"{name}={shown(text)}: a path can't contain NUL")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigurationError(
            f"{name}={shown(text)}: the home folder of this user is not known"
        ) from error


def kind_of_node(path: Path) -> str | None:
    """Return the kind of file at `path`, such as "a named pipe"; None if it is a regular file or does not exist.

    Symbolic links are followed. Blocks. Raises OSError if `path` can't be examined.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISREG(mode):
        return None
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "not a regular file")


def shown(path: object) -> str:
    """Format a path for messages: quoted, without the middle of a long one."""
    text = str(path)
    return repr(text if len(text) <= 90 else f"{text[:40]}...{text[-40:]}")


def why(error: BaseException) -> str:
    """Return the reason in an error about reading or writing a file."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
