from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fal_async import RetryPolicy, Session
from fal_async.emulator import Emulator

QUICK = RetryPolicy(base_delay=0.01, max_delay=0.05)


@pytest.fixture(autouse=True)
async def nothing_left_over() -> AsyncIterator[None]:
    """Check after each test, when its session and emulator are closed, that no other task is left."""
    yield
    await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert left == []


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[Emulator]:
    async with Emulator(speed=50, folder=tmp_path / "cdn") as emulator:
        yield emulator


@pytest.fixture
async def fal(emulator: Emulator) -> AsyncIterator[Session]:
    async with Session(emulator.key, hosts=emulator.hosts, retry=QUICK) as session:
        yield session
