"""Built-in models for first tries of the client: pictures, realtime pictures, text, and a long training.

It imports `wire` and `jobs`; models do not use the emulator that serves them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fal_async.emulator.builtin import catalog, flux, live
from fal_async.emulator.builtin.painters import drawn, plain
from fal_async.emulator.builtin.text import any_llm
from fal_async.emulator.builtin.training import train_lora
from fal_async.emulator.jobs.endpoints import EndpointFunction


def builtin_endpoints(plain_pictures: bool) -> Iterator[tuple[str, EndpointFunction, dict[str, Any]]]:
    """Yield the arguments of `Emulator.endpoint`: endpoint id, function and options."""
    paint, reports = (plain, 1) if plain_pictures else (drawn, flux.MAX_REPORTS)
    yield "fal-ai/flux/dev", flux.Flux(flux.DEV, paint, reports), catalog.FLUX_DEV
    yield "fal-ai/flux/schnell", flux.Flux(flux.SCHNELL, paint, reports), catalog.FLUX_SCHNELL
    yield "fal-ai/any-llm", any_llm, catalog.ANY_LLM
    realtime = {"realtime": live.OPTIONS}
    yield "fal-ai/fast-lcm-diffusion", live.FastLcmDiffusion(paint), {**catalog.LCM, **realtime}
    yield "fal-ai/flux-lora-fast-training", train_lora, catalog.TRAINING
