"""schemathesis calls what the emulator serves, as the OpenAPI documents say, and finds nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from fal_async.emulator import Emulator
from tests.emulator.caller import Caller, calling
from tests.emulator.schemas.documents_of_models import document
from tests.emulator.schemas.fuzzing import OF_A_CALL, OF_THE_QUEUE, direct, fuzz

PATH = "/fal.ai/api/openapi/queue/openapi.json"


@attrs.frozen
class Question:
    prompt: str
    count: int = 1
    weights: dict[str, float] = attrs.field(factory=dict)


@attrs.frozen
class Reply:
    text: str
    question: Question


def serve_examples(caller: Caller) -> None:
    caller.emulator.endpoint_from(document("acme/painter"))

    @caller.emulator.endpoint("me/typed")
    async def typed(input: Question) -> Reply:
        return Reply(text=input.prompt, question=input)


@pytest.mark.parametrize(
    "endpoint_id", ["fal-ai/fast-lcm-diffusion", "fal-ai/any-llm", "acme/painter", "me/typed"]
)
async def test_schemathesis_finds_nothing_in_an_endpoint_of_each_kind(endpoint_id: str) -> None:
    async with calling(Emulator(speed=1000, plain_pictures=True)) as caller:
        serve_examples(caller)
        found: dict[str, Any] = (await caller.get(PATH, params={"endpoint_id": endpoint_id}, headers={})).data
        url, key = caller.emulator.url, caller.emulator.key
        queue, run = f"{url}/queue.fal.run", f"{url}/fal.run"
        await asyncio.to_thread(fuzz, found, queue, key, without=OF_THE_QUEUE, examples=3)
        await asyncio.to_thread(fuzz, direct(found, endpoint_id), run, key, without=OF_A_CALL, examples=8)
