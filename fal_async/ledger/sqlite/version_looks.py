"""Look at the version of an entry again and again, because a file does not notify of changes by other processes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fal_async.ledger.sqlite.pieces import Work
from fal_async.ledger.sqlite.reads import versions

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
"""Seconds between two looks."""


def version_of(entry: int) -> Work[int | None]:
    """Return the work that reads the version of an entry; None if it was deleted."""
    return lambda tables, _: versions(tables, [entry]).get(entry)


async def until_other(read: Callable[[], Awaitable[int | None]], version: int, seconds: float) -> None:
    """Wait until `read` returns another version, or None for a deleted entry; at most `seconds`."""
    loop, pause = asyncio.get_running_loop(), _FIRST_PAUSE
    until = loop.time() + seconds
    while (left := until - loop.time()) > 0:
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE)
        if await read() != version:
            return
