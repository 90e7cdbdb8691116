"""schemathesis calls every built-in model, as its OpenAPI document says, and finds nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fal_async.emulator import Emulator
from tests.emulator.caller import Caller, calling
from tests.emulator.schemas.fuzzing import OF_A_CALL, OF_THE_QUEUE, direct, fuzz


@pytest.mark.timeout(900)
async def test_schemathesis_finds_nothing_in_any_built_in_model() -> None:
    findings: dict[str, str] = {}
    async with calling(Emulator(speed=1000, plain_pictures=True, runners=4, record=False)) as caller:
        models = await _all_models(caller)
        assert len(models) > 200
        for model in models:
            endpoint_id = model["endpoint_id"]
            try:
                await _fuzzed(caller, endpoint_id, model["openapi"])
            except (Exception, BaseExceptionGroup) as error:
                findings[endpoint_id] = f"{type(error).__name__}: {error}"[:1000]
    assert findings == {}


async def _all_models(caller: Caller) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query = {"expand": "openapi-3.0"}
    while True:
        page = (await caller.get("/api.fal.ai/v1/models", params=query)).data
        found += page["models"]
        if not page["has_more"]:
            return found
        query["cursor"] = page["next_cursor"]


async def _fuzzed(caller: Caller, endpoint_id: str, document: dict[str, Any]) -> None:
    url, key = caller.emulator.url, caller.emulator.key
    queue, run = f"{url}/queue.fal.run", f"{url}/fal.run"
    await asyncio.to_thread(fuzz, document, queue, key, without=OF_THE_QUEUE, examples=3)
    called = direct(document, endpoint_id)
    await asyncio.to_thread(fuzz, called, run, key, without=OF_A_CALL, examples=10)
