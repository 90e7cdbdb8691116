"""`fal-ai/flux/dev` and `/schnell`: a real, deterministic picture for each prompt and seed."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import attrs

from fal_async.emulator.builtin.checking import Checker
from fal_async.emulator.builtin.model_schemas import MAX_SIDE, SIZES
from fal_async.emulator.builtin.painters import Painter
from fal_async.emulator.jobs.job import JobContext
from fal_async.emulator.wire.data_uris import data_uri

MAX_REPORTS = 50
MAX_SEED = 2**63 - 1


@attrs.frozen(kw_only=True)
class Variant:
    steps: int
    max_steps: int
    seconds_per_step: float
    """Seconds for one picture, divided by the emulator's `speed`."""


DEV = Variant(steps=28, max_steps=50, seconds_per_step=0.07)
SCHNELL = Variant(steps=4, max_steps=12, seconds_per_step=0.1)


@attrs.frozen(kw_only=True)
class _Order:
    prompt: str
    width: int
    height: int
    count: int
    steps: int
    seed: int
    inline: bool


@attrs.frozen
class Flux:
    variant: Variant
    paint: Painter
    reports: int = MAX_REPORTS
    """How many parts the work has at most, each with a log line."""

    async def __call__(self, input: Any, job: JobContext) -> dict[str, Any]:
        order = _read(input, self.variant)
        job.bill(order.count)
        drawings = [asyncio.create_task(self._draw(order, number)) for number in range(order.count)]
        try:
            seconds = await _show_progress(order, self.variant, job, self.reports)
            pictures = [await drawing for drawing in drawings]
        finally:
            for drawing in drawings:
                drawing.cancel()
            await asyncio.wait(drawings)
        images = [await _deliver(order, number, picture, job) for number, picture in enumerate(pictures)]
        return {
            "images": images,
            "timings": {"inference": seconds},
            "seed": order.seed,
            "has_nsfw_concepts": [False] * order.count,
            "prompt": order.prompt,
        }

    async def _draw(self, order: _Order, number: int) -> bytes:
        return await self.paint(order.width, order.height, f"{order.prompt}|{order.seed + number}")


def _read(input: Any, variant: Variant) -> _Order:
    check = Checker(input)
    prompt = check.text("prompt")
    width, height = _size(check)
    steps = check.whole("num_inference_steps", variant.steps, 1, variant.max_steps)
    seed = check.whole("seed", None, 0, MAX_SEED)
    count = check.whole("num_images", 1, 1, 4)
    check.finish()
    return _Order(
        prompt=prompt,
        width=width,
        height=height,
        count=count or 1,
        steps=steps or variant.steps,
        seed=random.getrandbits(32) if seed is None else seed,
        inline=bool(check.raw("sync_mode", False)),
    )


def _size(check: Checker) -> tuple[int, int]:
    wanted = check.raw("image_size", "landscape_4_3")
    if not isinstance(wanted, dict):
        check.choice("image_size", wanted, list(SIZES))
        return SIZES.get(wanted, (1, 1)) if isinstance(wanted, str) else (1, 1)
    width, height = (
        check.whole_value(["image_size", name], wanted.get(name, 512), 1, MAX_SIDE)
        for name in ("width", "height")
    )
    return width or 1, height or 1


async def _show_progress(order: _Order, variant: Variant, job: JobContext, reports: int) -> float:
    """Log progress as tqdm does in real image models. Return the seconds, before division by `speed`."""
    pause = variant.seconds_per_step * (1 + 0.25 * (order.count - 1))
    count, done = min(order.steps, reports), 0
    for step in (round(order.steps * report / count) for report in range(count + 1)):
        if step:
            await job.sleep((step - done) * pause)
        done, share = step, step / order.steps
        bar = "█" * round(10 * share)
        job.log(f"{share:4.0%}|{bar:<10}| {step}/{order.steps} [{step * pause:05.2f}s, {1 / pause:.2f}it/s]")
    return order.steps * pause


async def _deliver(order: _Order, number: int, picture: bytes, job: JobContext) -> dict[str, Any]:
    """Return the picture's file object; with `sync_mode` its URL is a data URI (protocol 13)."""
    size = {"width": order.width, "height": order.height, "content_type": "image/png"}
    if order.inline:
        return {"url": data_uri(picture, "image/png"), **size}
    file = await job.file(picture, "image/png", f"flux-{order.seed}-{number}.png")
    return {**file, **size}
