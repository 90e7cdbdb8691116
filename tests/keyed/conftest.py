"""Fixtures for the tests of keyed calls: a session with a ledger on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fal_async import Session
from fal_async.emulator import Emulator
from tests.quick import session_on


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The path of the ledger."""
    return tmp_path / "runs.db"


@pytest.fixture
async def fal(emulator: Emulator, runs: Path) -> AsyncIterator[Session]:
    async with session_on(emulator, ledger=runs) as session:
        yield session
