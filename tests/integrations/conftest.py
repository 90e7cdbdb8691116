from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from fal_async.emulator import Emulator, ModelError


@pytest.fixture
def emulator(emulator: Emulator) -> Emulator:
    @emulator.endpoint("me/echo", runners=50)
    async def echo(input: Any) -> Any:
        return input

    @emulator.endpoint("me/endless", runners=300)
    async def endless(_: Any) -> Any:
        await asyncio.Event().wait()

    @emulator.endpoint("me/broken")
    async def broken(_: Any) -> Any:
        raise ModelError(422, [{"loc": ["body", "a"], "msg": "no", "type": "value_error", "input": "secret"}])

    return emulator


@pytest.fixture
async def http(no_tasks_left: None) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http
