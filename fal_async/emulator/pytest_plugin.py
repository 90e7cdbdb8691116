"""Fixtures for pytest: `fal_emulator`, a local fal for one test, and `fal`, an open session on it.

pytest imports this module in every run if fal_async is installed, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fal_async.emulator.server import Emulator
    from fal_async.session import Session

SPEED = 50.0
"""Time factor of the fixture's emulator: a model's 2 s take 40 ms."""


def _async_fixture(name: str, function: Callable[..., Any]) -> Any:
    try:
        import pytest_asyncio
    except ImportError:
        return pytest.fixture(name=name)(_refusal(name))
    return pytest_asyncio.fixture(function, name=name)


def _refusal(name: str) -> Callable[[], None]:
    """Return a fixture that fails only if a test requests it."""

    def refuse() -> None:
        raise pytest.UsageError(
            f"the fixture {name!r} needs pytest-asyncio: pip install 'fal-async[testing]'"
        )

    return refuse


async def _fal_emulator() -> AsyncIterator[Emulator]:
    """Yield an `Emulator` for this test, on a free port and with `speed=50`; it stops after the test."""
    from fal_async.emulator.server import Emulator

    async with Emulator(speed=SPEED) as emulator:
        yield emulator


async def _fal(fal_emulator: Emulator) -> AsyncIterator[Session]:
    """Yield a `Session` on `fal_emulator`, opened before the test and closed after it."""
    from fal_async.session import Session

    async with Session(credentials=fal_emulator.key, hosts=fal_emulator.hosts) as session:
        yield session


fal_emulator: Any = _async_fixture("fal_emulator", _fal_emulator)
fal: Any = _async_fixture("fal", _fal)
