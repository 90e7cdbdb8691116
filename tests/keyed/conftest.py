"""Fixtures for the tests of keyed calls: a session with a ledger on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fal_async import Session
from fal_async.emulator import Emulator
from fal_async.ledger.opening import Where
from tests.quick import session_on


@pytest.fixture
def runs(where: Where) -> Where:
    """Where the ledger is: the tests run with each kind of ledger."""
    return where


@pytest.fixture
async def fal(emulator: Emulator, runs: Where) -> AsyncIterator[Session]:
    async with session_on(emulator, ledger=runs) as session:
        yield session
