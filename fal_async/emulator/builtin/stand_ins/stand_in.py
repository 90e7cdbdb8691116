"""The functions behind the stand-ins: one for files and transcriptions, one for models that answer with text."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import attrs

from fal_async.emulator.builtin.painters import Painter
from fal_async.emulator.builtin.stand_ins import sounds
from fal_async.emulator.builtin.stand_ins.model_output import Output
from fal_async.emulator.builtin.stand_ins.orders import Order, read_order
from fal_async.emulator.builtin.stand_ins.table import Model
from fal_async.emulator.builtin.text import DEFAULT_MODEL, sentences
from fal_async.emulator.jobs.job import JobContext

_SECONDS: Mapping[str, float] = {"text-to-video": 3.0, "image-to-video": 3.0, "video-to-video": 3.0}
"""How long the work takes, divided by the emulator's `speed`; other categories take `_USUAL`."""
_USUAL = 0.6
_REPORTS = 4
_SECONDS_PER_WORD = 0.02
_USUAL_VIDEO = 5.0
"""Seconds that are billed for a video whose length the input does not say."""
_NUMBER = re.compile(r"\d+(\.\d+)?")


@attrs.frozen
class StandIn:
    """Works for a while, with log lines, and returns files or a transcription."""

    model: Model
    paint: Painter

    async def __call__(self, input: Any, job: JobContext) -> dict[str, Any]:
        order = await read_order(self.model, input, job)
        seconds = _SECONDS.get(self.model.category, _USUAL)
        for report in range(_REPORTS):
            job.log(f"{report / _REPORTS:4.0%} of the work is done")
            await job.sleep(seconds / _REPORTS)
        document = await Output(self.model, order, job, self.paint, seconds).document()
        job.bill(_units(self.model, order, document))
        return document


@attrs.frozen
class TextStandIn:
    """Answers word by word: each event has all words so far, as those of `fal-ai/any-llm`."""

    model: Model

    async def __call__(self, input: Any, job: JobContext) -> AsyncIterator[dict[str, Any]]:
        order = await read_order(self.model, input, job)
        question = order.text or str(order.values.get("image_url", ""))
        words = " ".join(sentences(question, str(order.values.get("model", DEFAULT_MODEL)))).split(" ")
        names = self.model.output["properties"]
        for count in range(1, len(words) + 1):
            await job.sleep(_SECONDS_PER_WORD)
            event = {
                "output": " ".join(words[:count]),
                "partial": count < len(words),
                "finish_reason": "stop",
                "usage": _usage(question, count),
                "usage_info": _usage(question, count),
            }
            yield {name: value for name, value in event.items() if name in names}


def _usage(question: str, count: int) -> dict[str, Any]:
    asked = len(question.split())
    return {
        "prompt_tokens": asked,
        "completion_tokens": count,
        "total_tokens": asked + count,
        "cost": 0.0,
    }


def _units(model: Model, order: Order, document: Mapping[str, Any]) -> float:
    """Return what is billed, in the model's unit."""
    if model.price.unit == "image":
        return len(document.get("images", ())) or 1
    if model.price.unit == "second":
        found = _NUMBER.match(str(order.values.get("duration", "")))
        return float(found[0]) if found else _USUAL_VIDEO
    if model.price.unit == "minute":
        return round(sounds.seconds_of(order.sound) / 60, 4)
    return len(order.text) / 1000 if model.price.unit == "1000 characters" else 1
