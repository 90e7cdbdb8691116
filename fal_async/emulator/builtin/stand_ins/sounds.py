"""Sound: tones as WAV or MP3 of any length, and how long a given sound is."""

from __future__ import annotations

import io
import random
import struct
import wave
from array import array
from collections.abc import Mapping
from functools import lru_cache
from math import pi, sin
from typing import Any

import attrs

from fal_async.emulator.builtin.stand_ins.orders import Order
from fal_async.emulator.builtin.stand_ins.samples import sample

_RATE = 16_000
_LONGEST = 10.0
"""Seconds: a stand-in's sound is not longer."""
_SECONDS_PER_CHARACTER = 0.06
_TONE = 0.25
"""Seconds of one tone."""
_PITCHES = (196.0, 220.0, 261.6, 293.7, 329.6, 392.0)
"""Hertz: a pentatonic scale."""
_MP3_BYTES_PER_SECOND, _MP3_RATE = 4000, 24_000
"""Of the sample, which has 32 kbit/s."""
_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
"""By the index in the header of an MPEG-1 layer III frame; MPEG-2 has other values."""
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_USUAL = 3.0
"""Seconds, for a sound whose length is not known."""


@attrs.frozen(kw_only=True)
class Sound:
    data: bytes = attrs.field(repr=False)
    seconds: float
    kind: str
    """"wav" or "mp3"."""

    @property
    def content_type(self) -> str:
        return "audio/wav" if self.kind == "wav" else "audio/mpeg"

    def facts(self) -> dict[str, Any]:
        """Return what some models tell about their sound."""
        wav = self.kind == "wav"
        return {
            "duration": self.seconds,
            "sample_rate": _RATE if wav else _MP3_RATE,
            "channels": 1,
            "bitrate": 16 * _RATE if wav else 8 * _MP3_BYTES_PER_SECOND,
            "codec": "pcm_s16le" if wav else "mp3",
            "container": self.kind,
        }


def made(order: Order, usual: str) -> Sound:
    """Return the sound of an order. `usual`: "wav" or "mp3", if the input does not choose."""
    seconds, kind = _seconds(order.values, order.text), _kind(order.values, usual)
    if kind == "mp3":
        data = _mp3(seconds)
        return Sound(data=data, seconds=len(data) / _MP3_BYTES_PER_SECOND, kind=kind)
    return Sound(data=_wav(seconds, order.seed), seconds=seconds, kind=kind)


def _seconds(values: Mapping[str, Any], text: str) -> float:
    for name in ("duration", "seconds_total", "duration_seconds"):
        wanted = values.get(name)
        if isinstance(wanted, int | float) and not isinstance(wanted, bool) and wanted > 0:
            return min(_LONGEST, max(_TONE, float(wanted)))
    return min(_LONGEST, max(1.0, len(text) * _SECONDS_PER_CHARACTER))


def _kind(values: Mapping[str, Any], usual: str) -> str:
    setting = values.get("audio_setting")
    inner = setting.get("format") if isinstance(setting, Mapping) else None
    wanted = str(inner or values.get("output_format") or values.get("format") or "")
    return next((kind for kind in ("wav", "mp3") if wanted.startswith(kind)), usual)


def _mp3(seconds: float) -> bytes:
    """Return whole repetitions of a sample of one second, which has no header: players read them as one sound."""
    return sample("tone.mp3") * max(1, round(seconds))


def _wav(seconds: float, seed: int) -> bytes:
    dice = random.Random(seed)
    tones = b"".join(_tone(dice.choice(_PITCHES)) for _ in range(round(seconds / _TONE) + 1))
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(tones[: 2 * round(seconds * _RATE)])
    return written.getvalue()


@lru_cache(len(_PITCHES))
def _tone(pitch: float) -> bytes:
    """Return a tone that swells and fades, 16 bits a value, as little-endian bytes."""
    count = round(_TONE * _RATE)
    values = array(
        "h", (round(9000 * sin(pi * i / count) * sin(2 * pi * pitch * i / _RATE)) for i in range(count))
    )
    return struct.pack(f"<{count}h", *values)


def seconds_of(data: bytes | None) -> float:
    """Return how long a WAV or MP3 is; about 3 s if that is not known."""
    if data is None:
        return _USUAL
    if data.startswith(b"RIFF"):
        try:
            with wave.open(io.BytesIO(data)) as file:
                return float(file.getnframes() / file.getframerate())
        except (wave.Error, EOFError, ZeroDivisionError):
            return _USUAL
    return _mp3_seconds(data) or _USUAL


def _mp3_seconds(data: bytes) -> float | None:
    """Return the length of an MP3 whose frames all have the bit rate of the first."""
    at = 10 + int.from_bytes(data[6:10]) if data.startswith(b"ID3") else 0
    head = data[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    kbits = (_KBITS if head[1] & 0x18 == 0x18 else _KBITS_2)[head[2] >> 4]
    return (len(data) - at) / (125 * kbits) if kbits else None
