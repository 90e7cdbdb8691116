"""The sample videos and the sample sound: bytes that were encoded once, during development.

ffmpeg 5.1 made them of its own test sources: `gradients` for the pictures, `sine` and `aevalsrc` for the sound. The
videos take two seconds at 12 frames a second: `*.mp4` H.264 with AAC sound, `cutout.webm` VP9 with alpha.
`tone.mp3` takes one second, 32 kbit/s, without headers.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

import attrs

from fal_async.emulator.builtin.stand_ins.dimensions import size_of
from fal_async.emulator.builtin.stand_ins.orders import Order

_FPS, _SECONDS = 12, 2.0


@attrs.frozen(kw_only=True)
class Video:
    name: str
    width: int
    height: int
    content_type: str = "video/mp4"

    @property
    def data(self) -> bytes:
        return sample(self.name)

    @property
    def suffix(self) -> str:
        """The last part of its name, such as "mp4"."""
        return self.name.rpartition(".")[2]

    def facts(self) -> dict[str, Any]:
        """Return what some models tell about their video."""
        size = {"width": self.width, "height": self.height}
        return {**size, "fps": _FPS, "duration": _SECONDS, "num_frames": round(_FPS * _SECONDS)}


_LANDSCAPE = Video(name="landscape.mp4", width=320, height=180)
_PORTRAIT = Video(name="portrait.mp4", width=180, height=320)
_SQUARE = Video(name="square.mp4", width=240, height=240)
_CUTOUT = Video(name="cutout.webm", width=320, height=180, content_type="video/webm")


@lru_cache
def sample(name: str) -> bytes:
    """Return the bytes of a sample."""
    return files(__package__).joinpath("sample_files", name).read_bytes()


def video_of(order: Order) -> Video:
    """Return the sample that has about the form that the order asks for."""
    if "webm" in str(order.values.get("video_output_type") or order.values.get("output_format")):
        return _CUTOUT
    asked = any(order.values.get(name) for name in ("aspect_ratio", "video_size", "image_size"))
    if not asked and order.image is None:
        return _LANDSCAPE
    width, height = size_of(order)
    if width == height:
        return _SQUARE
    return _LANDSCAPE if width > height else _PORTRAIT
