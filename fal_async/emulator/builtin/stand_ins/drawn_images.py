"""The images of a stand-in: drawn, magnified, or cut out of the input's image."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import attrs

from fal_async.emulator.builtin.painters import Painter
from fal_async.emulator.builtin.stand_ins.dimensions import size_of, upscaled
from fal_async.emulator.builtin.stand_ins.images import Pixels, read_png
from fal_async.emulator.builtin.stand_ins.orders import Order


@attrs.frozen(kw_only=True)
class Picture:
    data: bytes = attrs.field(repr=False)
    width: int
    height: int


async def draw(order: Order, paint: Painter, number: int = 0) -> Picture:
    """Draw an image, always the same one for the same order and number."""
    width, height = size_of(order)
    data = await paint(width, height, f"{order.text}|{order.seed + number}")
    return Picture(data=data, width=width, height=height)


async def upscale(order: Order, paint: Painter) -> Picture:
    """Magnify the input's image. One that cannot be read is drawn, in the size that it would have."""
    source = None if order.image is None else await asyncio.to_thread(read_png, order.image)
    width, height = upscaled(order, *(order.source_size or size_of(order)))
    if source is None:
        data = await paint(width, height, f"{order.text}|{order.seed}")
        return Picture(data=data, width=width, height=height)
    return await _changed(lambda: source.magnified(width, height))


async def cut_out(order: Order, paint: Painter, *, mask: bool) -> Picture:
    """Return the input's image with a transparent background, or the mask. An unreadable one is drawn first."""
    data = order.image
    source = None if data is None else await asyncio.to_thread(read_png, data)
    if source is None:
        source = read_png((await draw(order, paint)).data)
    if source is None:
        raise RuntimeError("the painter's PNG cannot be read")
    return await _changed(source.mask if mask else source.cut_out)


async def _changed(change: Callable[[], Pixels]) -> Picture:
    # In a thread, since the computing would block all other requests.
    pixels, data = await asyncio.to_thread(_encoded, change)
    return Picture(data=data, width=pixels.width, height=pixels.height)


def _encoded(change: Callable[[], Pixels]) -> tuple[Pixels, bytes]:
    pixels = change()
    return pixels, pixels.png()
