"""Checks of what the programs received: pictures are decoded, sound and video are recognised."""

import io
import math
import struct
import wave

from PIL import Image

RATE = 16_000
"""Samples per second of `tone`."""


def is_picture(data: bytes, size: tuple[int, int] | None = None, kind: str = "PNG") -> None:
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        assert picture.format == kind, picture.format
        assert size is None or picture.size == size, picture.size


def is_video(data: bytes) -> None:
    assert data[4:8] == b"ftyp", data[:12]


def is_sound(data: bytes) -> None:
    assert data[:4] == b"RIFF" or data[:3] == b"ID3" or data[:1] == b"\xff", data[:12]


def tone(seconds: float = 1.0) -> bytes:
    """Return 16-bit samples of a tone."""
    count = int(seconds * RATE)
    return struct.pack(f"<{count}h", *(round(8000 * math.sin(n / 6)) for n in range(count)))


def wav(seconds: float = 1.0) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(tone(seconds))
    return out.getvalue()


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(out, "PNG")
    return out.getvalue()
