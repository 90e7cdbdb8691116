from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from fal_async.emulator import Emulator
from tests.emulator.caller import Caller


@pytest.fixture(autouse=True)
async def nothing_left_over() -> AsyncIterator[None]:
    """After each test, with its emulators stopped: no task but the test's own."""
    yield
    # The client's own connections need a step to be gone.
    await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert left == []


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(speed=50) as emulator:
        yield emulator


@pytest.fixture
async def caller(emulator: Emulator) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as http:
        yield Caller(emulator, http)
