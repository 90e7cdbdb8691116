from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from fal_async.emulator import Emulator
from tests.emulator.caller import Caller


@pytest.fixture(autouse=True)
async def nothing_left_over() -> AsyncIterator[None]:
    """Check after each test that its stopped emulators left no task behind."""
    yield
    # The client's own connections need one more step of the event loop to close.
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
