"""How the built-in models come by a picture: drawn for each seed, or of one colour and made once for each size."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache

from fal_async.emulator.builtin.painting import one_colour, paint

Painter = Callable[[int, int, str], Awaitable[bytes]]
"""From width, height and seed to a PNG."""
_SIZES = 64


async def drawn(width: int, height: int, seed: str) -> bytes:
    # In a thread: a tenth of a second of arithmetic would stall every other request.
    return await asyncio.to_thread(paint, width, height, seed)


async def plain(width: int, height: int, _: str) -> bytes:
    return _of_size(width, height)


_of_size = lru_cache(_SIZES)(one_colour)
