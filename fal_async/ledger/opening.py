"""Open a store from the value of `ledger=`."""

from __future__ import annotations

import os
from datetime import timedelta

from fal_async.checks import check_seconds
from fal_async.errors import ConfigurationError
from fal_async.ledger.sqlite.location import path_of
from fal_async.ledger.sqlite.sqlite_store import SqliteStore
from fal_async.ledger.store import Store

Where = str | os.PathLike[str]
"""A path, or a URL: `sqlite:///runs.db`."""


def real_path(where: object) -> str:
    """Return the real path.

    Raises ConfigurationError if the value is neither a path nor a URL, or if the folder does not exist.
    """
    if not isinstance(where, str | os.PathLike) or isinstance(os.fspath(where), bytes):
        raise ConfigurationError(
            f"ledger is of type {type(where).__name__}: expected a path such as 'runs.db', or a Ledger"
        )
    return path_of(where)


def seconds_of(keep: object) -> float | None:
    """Return `keep=` in seconds; raise ConfigurationError if it is not a time > 0 or None."""
    seconds = keep.total_seconds() if isinstance(keep, timedelta) else keep
    check_seconds("keep", seconds, or_none=True)
    return None if seconds is None else float(seconds)  # type: ignore[arg-type]


async def open_store(where: Where, *, keep: float | None = None, keep_input: bool = True) -> Store:
    """Open a store, which the caller closes; create the file if it is missing. Each store is a separate owner.

    `keep` and `keep_input` are those of `Ledger.open`. Raises ConfigurationError if a ledger can't be at this
    place, and LedgerError if the file can't be opened.
    """
    return await SqliteStore.open(real_path(where), keep=keep, keep_input=keep_input)
