"""Disk work in threads, which end before whoever waits for them goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """`work()` in a thread, waited for even if this task is cancelled: no file is closed under its hands."""
    return await settled(asyncio.ensure_future(asyncio.to_thread(work)))


async def settled(running: asyncio.Future[T]) -> T:
    """Its result; over in any case, however often this task is cancelled meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return running.result()
    if not running.cancelled():
        running.exception()  # seen, or asyncio would complain that nobody did
    raise cancelled
