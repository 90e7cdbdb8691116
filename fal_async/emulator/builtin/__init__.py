"""Built-in models: pictures, realtime pictures, text, a long training, and stand-ins for many of fal's models.

It imports `wire` and `jobs`; models do not use the emulator that serves them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from fal_async.emulator.accounts.prices import Price
from fal_async.emulator.builtin import catalog, flux, live
from fal_async.emulator.builtin.painters import Painter, drawn, plain
from fal_async.emulator.builtin.stand_ins.stand_in import StandIn, TextStandIn
from fal_async.emulator.builtin.stand_ins.table import Model, models
from fal_async.emulator.builtin.text import any_llm
from fal_async.emulator.builtin.training import train_lora
from fal_async.emulator.jobs.endpoints import Endpoint, EndpointFunction


def builtin_endpoints(plain_pictures: bool) -> Iterator[tuple[str, EndpointFunction, dict[str, Any]]]:
    """Yield the arguments of `Emulator.endpoint`: endpoint id, function and options."""
    paint, reports = (plain, 1) if plain_pictures else (drawn, flux.MAX_REPORTS)
    yield "fal-ai/flux/dev", flux.Flux(flux.DEV, paint, reports), catalog.FLUX_DEV
    yield "fal-ai/flux/schnell", flux.Flux(flux.SCHNELL, paint, reports), catalog.FLUX_SCHNELL
    yield "fal-ai/any-llm", any_llm, catalog.ANY_LLM
    realtime = {"realtime": live.OPTIONS}
    yield "fal-ai/fast-lcm-diffusion", live.FastLcmDiffusion(paint), {**catalog.LCM, **realtime}
    yield "fal-ai/flux-lora-fast-training", train_lora, catalog.TRAINING


@lru_cache(8)
def stand_ins(plain_pictures: bool, runners: int) -> tuple[tuple[Endpoint, Price], ...]:
    """Return the stand-ins and their prices, which all emulators of a process share, since there are hundreds."""
    paint = plain if plain_pictures else drawn
    return tuple((_endpoint(model, paint, runners), model.price) for model in models())


def _endpoint(model: Model, paint: Painter, runners: int) -> Endpoint:
    return Endpoint(
        endpoint_id=model.endpoint_id,
        function=TextStandIn(model) if model.writes else StandIn(model, paint),
        takes_job=True,
        runners=runners,
        metadata=model.metadata,
        input_schema=model.input,
        output_schema=model.output,
    )
