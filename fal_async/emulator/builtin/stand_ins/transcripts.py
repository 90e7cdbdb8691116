"""Made-up transcriptions, always the same for the same sound, in the forms of several models."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import attrs

from fal_async.emulator.builtin.stand_ins.orders import Order
from fal_async.emulator.builtin.stand_ins.sounds import seconds_of
from fal_async.emulator.builtin.text import sentence

_WORDS_PER_SECOND = 2.5


@attrs.frozen
class Transcript:
    words: tuple[str, ...]
    seconds: float
    language: str

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def chunks(self, level: Any, *, speakers: bool) -> list[dict[str, Any]]:
        """Return parts with their times: words, or else sentences."""
        per_word = self.seconds / len(self.words)
        parts, begin = list[dict[str, Any]](), 0
        for end, word in enumerate(self.words, 1):
            if level == "word" or word.endswith(".") or end == len(self.words):
                times = [round(begin * per_word, 2), round(end * per_word, 2)]
                part = {"timestamp": times, "text": " ".join(self.words[begin:end])}
                parts.append({**part, "speaker": "SPEAKER_00"} if speakers else part)
                begin = end
        return parts

    def timed_words(self) -> list[dict[str, Any]]:
        """Return words and spaces with their times."""
        parts = [
            {"text": part["text"], "start": part["timestamp"][0], "end": part["timestamp"][1], "type": "word"}
            for part in self.chunks("word", speakers=False)
        ]
        return [{**part, "speaker_id": "speaker_0"} for part in parts]


def heard(order: Order) -> Transcript:
    """Return the transcription of the order's sound."""
    sound = order.sound or str(order.values.get("audio_url")).encode("utf-8", "surrogatepass")
    dice = random.Random(hashlib.blake2b(sound).digest())
    seconds = seconds_of(order.sound)
    count = max(1, round(seconds * _WORDS_PER_SECOND))
    words = list[str]()
    while len(words) < count:
        words += sentence(dice).split(" ")
    language = order.values.get("language") or order.values.get("language_code") or "en"
    return Transcript(tuple(words[:count]), round(seconds, 2), str(language))
