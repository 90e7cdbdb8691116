"""Open a store from the value of `ledger=`."""

from __future__ import annotations

import os
from datetime import timedelta
from importlib.util import find_spec

from fal_async.checks import check_seconds
from fal_async.errors import ConfigurationError
from fal_async.ledger.postgres.postgres_address import address_of, is_address
from fal_async.ledger.sqlite.location import path_of
from fal_async.ledger.sqlite.sqlite_store import SqliteStore
from fal_async.ledger.store import Store

Where = str | os.PathLike[str]
"""A path, or a URL: `sqlite:///runs.db`, `postgresql://user@host/database`."""


def checked_place(where: object) -> str:
    """Return the real path of a file, or the URL of a database.

    Raises ConfigurationError if the value is neither a path nor a URL, if the folder does not exist, or if the
    extra `postgres` is missing.
    """
    if not isinstance(where, str | os.PathLike) or isinstance(os.fspath(where), bytes):
        raise ConfigurationError(
            f"ledger is of type {type(where).__name__}: expected a path such as 'runs.db', a URL or a Ledger"
        )
    if is_address(os.fspath(where)):
        if not isinstance(where, str):
            raise ConfigurationError("ledger=postgresql:...: pass a URL as a str, because a Path changes it")
        if find_spec("asyncpg") is None:
            raise ConfigurationError(
                "ledger=postgresql://... needs asyncpg: pip install 'fal-async[postgres]'"
            )
        address_of(where)
        return where
    return path_of(where)


def seconds_of(keep: object) -> float | None:
    """Return `keep=` in seconds; raise ConfigurationError if it is not a time > 0 or None."""
    seconds = keep.total_seconds() if isinstance(keep, timedelta) else keep
    check_seconds("keep", seconds, or_none=True)
    return None if seconds is None else float(seconds)  # type: ignore[arg-type]


async def open_store(where: Where, *, keep: float | None = None, keep_input: bool = True) -> Store:
    """Open a store, which the caller closes; create the file if it is missing. Each store is a separate owner.

    `keep` and `keep_input` are those of `Ledger.open`. Raises ConfigurationError if a ledger can't be at this
    place, and LedgerError if the file or the database can't be opened.
    """
    place = checked_place(where)
    if is_address(place):
        from fal_async.ledger.postgres.postgres_store import PostgresStore

        return await PostgresStore.open(address_of(place), keep=keep, keep_input=keep_input)
    return await SqliteStore.open(place, keep=keep, keep_input=keep_input)
