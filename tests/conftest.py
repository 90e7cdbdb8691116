"""What all tests of the client share: an emulator, a session on it, and the proof that nothing is left over."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from fal_async import Session
from fal_async.emulator import Emulator


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own key and hosts stay out of the tests."""
    for name in [name for name in os.environ if name.startswith("FAL_")]:
        if name != "FAL_ASYNC_REAL":
            monkeypatch.delenv(name)
    monkeypatch.setenv("FAL_HOME_DIR", "/nonexistent")


@pytest.fixture(autouse=True)
def no_open_sockets() -> Iterator[None]:
    """What a test forgot to close shows as a ResourceWarning here, in the test that forgot it."""
    yield
    gc.collect()


@pytest.fixture
async def no_tasks_left() -> AsyncIterator[None]:
    """Asked for by the fixtures below, so that it looks after they have closed what they opened."""
    yield
    for _ in range(3):  # what ends by itself in the next steps, such as a closed connection's last callback
        await asyncio.sleep(0)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


@pytest.fixture
async def emulator(no_tasks_left: None) -> AsyncIterator[Emulator]:
    async with Emulator(speed=50) as emulator:
        yield emulator


@pytest.fixture
async def fal(emulator: Emulator) -> AsyncIterator[Session]:
    async with Session(emulator.key, hosts=emulator.hosts) as session:
        yield session
