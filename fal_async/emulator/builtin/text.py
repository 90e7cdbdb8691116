"""`fal-ai/any-llm`: a text model with a fixed answer to each prompt, at once or word by word."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

from fal_async.emulator.builtin.checking import Checker
from fal_async.emulator.jobs.job import JobContext

DEFAULT_MODEL = "google/gemini-2.5-flash-lite"
_NOUNS = (
    "water",
    "glass",
    "river",
    "machine",
    "paper",
    "signal",
    "garden",
    "copper",
    "window",
    "answer",
    "thread",
    "salt",
    "orbit",
    "letter",
    "engine",
    "harbour",
    "mirror",
    "bridge",
)
_QUALITIES = ("small", "patient", "careful", "distant", "quiet", "bright", "early", "narrow")
_SECONDS_PER_SENTENCE = 0.15


async def any_llm(input: Any, job: JobContext) -> AsyncIterator[dict[str, Any]]:
    check = Checker(input)
    prompt = check.text("prompt")
    model = check.text("model", DEFAULT_MODEL)
    check.finish()
    parts = sentences(prompt, model)
    job.log(f"Generating with {model}")
    words = " ".join(parts).split(" ")
    for count in range(1, len(words) + 1):
        await job.sleep(_SECONDS_PER_SENTENCE * len(parts) / len(words))
        # The form of the any-llm family: all output so far, and whether it is partial (protocol 5.1).
        output, partial = " ".join(words[:count]), count < len(words)
        yield {"output": output, "reasoning": None, "partial": partial, "error": None}


def sentences(prompt: str, model: str) -> list[str]:
    dice = random.Random(f"{model}|{prompt}".encode("utf-8", "surrogatepass"))
    subject = " ".join(prompt.split()[:8]) or "nothing"
    opening = f'You asked about "{subject}".'
    return [opening, *(sentence(dice) for _ in range(dice.randint(2, 4)))]


def sentence(dice: random.Random) -> str:
    one, two, three = dice.sample(_NOUNS, 3)
    return f"The {dice.choice(_QUALITIES)} {one} keeps its {two} near the {three}."
