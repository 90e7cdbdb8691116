from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from fal_async import Session
from fal_async.emulator import Emulator, ModelError


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(speed=50) as emulator:

        @emulator.endpoint("me/echo", runners=50)
        async def echo(input: Any) -> Any:
            return input

        @emulator.endpoint("me/endless", runners=300)
        async def endless(_: Any) -> Any:
            await asyncio.Event().wait()

        @emulator.endpoint("me/broken")
        async def broken(_: Any) -> Any:
            raise ModelError(
                422, [{"loc": ["body", "a"], "msg": "no", "type": "value_error", "input": "secret"}]
            )

        yield emulator


@pytest.fixture
async def fal(emulator: Emulator) -> AsyncIterator[Session]:
    async with Session(emulator.key, hosts=emulator.hosts) as session:
        yield session


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http
