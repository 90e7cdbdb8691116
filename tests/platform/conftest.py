"""A session with the admin key of the emulator."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fal_async import Session
from fal_async.emulator import Emulator
from tests.quick import session_on


@pytest.fixture
async def admin(emulator: Emulator) -> AsyncIterator[Session]:
    async with session_on(emulator, credentials=emulator.admin_key) as fal:
        yield fal
