"""How large the image or video of an order is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import sqrt
from typing import Any

from fal_async.emulator.builtin.model_schemas import MAX_SIDE, SIZES
from fal_async.emulator.builtin.stand_ins.orders import Order

_PAIR = re.compile(r"(\d+)\s*[x:]\s*(\d+)")
_SIDES = {"0.5k": 512, "1k": 1024, "2k": 2048, "4k": 4096}
"""The side of a square, in pixels, by resolution."""
_MOST_PIXELS = 4096 * 4096
_STEP = 16
"""Pixels: sizes that follow from an aspect ratio are multiples of it."""


def size_of(order: Order) -> tuple[int, int]:
    """Return width and height, in pixels: as the input says, else those of its image, else 1024 x 1024."""
    values = order.values
    wanted = values.get("image_size") or values.get("video_size")
    found = _named(wanted) or _of_ratio(values) or order.source_size or SIZES["square_hd"]
    return _limited(*found)


def upscaled(order: Order, width: int, height: int) -> tuple[int, int]:
    """Return the size of an image that is magnified as the input says, twice without a factor."""
    names = ("upscale_factor", "scale")
    factor = next((order.values[name] for name in names if order.values.get(name)), 2)
    return _limited(round(width * factor), round(height * factor))


def _named(wanted: Any) -> tuple[int, int] | None:
    if isinstance(wanted, Mapping):
        width, height = (wanted.get(side) for side in ("width", "height"))
        return (
            width if isinstance(width, int) and width > 0 else 512,
            height if isinstance(height, int) and height > 0 else 512,
        )
    if not isinstance(wanted, str):
        return None
    pair = _PAIR.fullmatch(wanted)
    return (int(pair[1]), int(pair[2])) if pair else SIZES.get(wanted)


def _of_ratio(values: Mapping[str, Any]) -> tuple[int, int] | None:
    pair = _PAIR.fullmatch(str(values.get("aspect_ratio", "")))
    if pair is None or "0" in pair.groups():
        return None
    ratio = sqrt(int(pair[1]) / int(pair[2]))
    side = _SIDES.get(str(values.get("resolution", "")).lower(), 1024)
    return max(1, round(side * ratio / _STEP)) * _STEP, max(1, round(side / ratio / _STEP)) * _STEP


def _limited(width: int, height: int) -> tuple[int, int]:
    """Return the size, made smaller if it has too many pixels to be drawn."""
    share = min(1.0, sqrt(_MOST_PIXELS / (width * height)))
    return max(1, min(MAX_SIDE, int(width * share))), max(1, min(MAX_SIDE, int(height * share)))
