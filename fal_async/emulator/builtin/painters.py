"""The pictures of the built-in models: drawn for each seed, or of one colour and made once for each size."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache

from fal_async.emulator.builtin.painting import one_colour, paint

Painter = Callable[[int, int, str], Awaitable[bytes]]
"""Returns a PNG for a width, a height and a seed."""
_SIZES = 64


async def drawn(width: int, height: int, seed: str) -> bytes:
    # In a thread, since 0.1 s of computing would block all other requests.
    return await asyncio.to_thread(paint, width, height, seed)


async def plain(width: int, height: int, _: str) -> bytes:
    return _of_size(width, height)


_of_size = lru_cache(_SIZES)(one_colour)
