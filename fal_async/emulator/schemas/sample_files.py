"""The files of sample outputs: a drawn picture, a tone, a film, or a few bytes."""

from __future__ import annotations

import io
import math
import random
import struct
import wave
from collections.abc import Mapping
from typing import Any

import attrs

from fal_async.emulator.builtin.painters import drawn

_RATE = 16_000
"""Samples of sound in a second."""
_SECONDS = 1.0


@attrs.frozen(kw_only=True)
class MadeFile:
    """A file, and what it tells about itself in the words of fal's file objects."""

    data: bytes = attrs.field(repr=False)
    content_type: str
    suffix: str
    about: Mapping[str, Any] = attrs.field(factory=dict)


async def made_file(kind: str, seed: str, width: int, height: int) -> MadeFile:
    """Return the file of a kind, always the same one for a seed; `width` and `height` are those of a picture."""
    if kind == "image":
        data, size = await drawn(width, height, seed), {"width": width, "height": height}
        return MadeFile(data=data, content_type="image/png", suffix="png", about=size)
    if kind == "audio":
        about: dict[str, Any] = {"duration": _SECONDS, "sample_rate": _RATE, "channels": 1}
        return MadeFile(data=_tone(seed), content_type="audio/wav", suffix="wav", about=about)
    data = random.Random(seed).randbytes(64)
    return MadeFile(data=data, content_type="application/octet-stream", suffix="bin")


def _tone(seed: str) -> bytes:
    """Return a second of a tone that becomes silent."""
    pitch, count = 2 * math.pi * random.Random(seed).uniform(220, 880) / _RATE, int(_RATE * _SECONDS)
    values = [int(12_000 * math.sin(pitch * at) * (1 - at / count)) for at in range(count)]
    target = io.BytesIO()
    with wave.open(target, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_RATE)
        sound.writeframes(struct.pack(f"<{count}h", *values))
    return target.getvalue()
