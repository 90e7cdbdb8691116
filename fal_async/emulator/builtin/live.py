"""`fal-ai/fast-lcm-diffusion`: a small picture for each input, fast enough for a realtime session."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import attrs

from fal_async.emulator.builtin.checking import Checker
from fal_async.emulator.builtin.painters import Painter
from fal_async.emulator.jobs.job import JobContext
from fal_async.emulator.jobs.realtime_options import RealtimeOptions

OPTIONS = RealtimeOptions(buffering=10, session_timeout=60.0, timings=True)
_SIDES = (64, 1024)
_SECONDS = 0.08
_MAX_SEED = 2**63 - 1


@attrs.frozen
class FastLcmDiffusion:
    paint: Painter

    async def __call__(self, input: Any, job: JobContext) -> dict[str, Any]:
        return await _answer(input, job, self.paint)


async def _answer(input: Any, job: JobContext, paint: Painter) -> dict[str, Any]:
    """Return the picture: in a session as the bytes of a PNG, otherwise as a file with a URL."""
    check = Checker(input)
    prompt = check.text("prompt")
    side = check.whole("size", 512, *_SIDES) or _SIDES[0]
    seed = check.whole("seed", None, 0, _MAX_SEED)
    check.finish()
    seed = random.getrandbits(32) if seed is None else seed
    picture, _ = await asyncio.gather(paint(side, side, f"{prompt}|{seed}"), job.sleep(_SECONDS))
    image: dict[str, Any] = {"width": side, "height": side, "content_type": "image/png"}
    if job.via == "realtime":
        image["content"] = picture
    else:
        image.update(await job.file(picture, "image/png", f"lcm-{seed}.png"))
    return {
        "images": [image],
        "seed": seed,
        "timings": {"inference": _SECONDS},
        "request_id": job.request_id,
        "has_nsfw_concepts": [False],
        "prompt": prompt,
    }
