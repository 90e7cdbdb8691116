"""pytest fixtures: `fal_emulator`, a local fal for one test, and `fal`, an open session on it.

pytest loads this in every run of everybody who has fal_async installed: importing it loads nothing heavy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fal_async.emulator.server import Emulator
    from fal_async.session import Session

SPEED = 50.0
"""The fixture's time factor: a model's 2 s take 40 ms."""


def _async_fixture(name: str, function: Callable[..., Any]) -> Any:
    try:
        import pytest_asyncio
    except ImportError:
        return pytest.fixture(name=name)(_refusal(name))
    return pytest_asyncio.fixture(function, name=name)


def _refusal(name: str) -> Callable[[], None]:
    """Only who asks for the fixture hears of what is missing."""

    def refuse() -> None:
        raise pytest.UsageError(
            f"the fixture {name!r} needs pytest-asyncio: pip install 'fal-async[testing]'"
        )

    return refuse


async def _fal_emulator() -> AsyncIterator[Emulator]:
    """A local fal of the test's own, on a free port, with work sped up 50 times."""
    from fal_async.emulator.server import Emulator

    async with Emulator(speed=SPEED) as emulator:
        yield emulator


async def _fal(fal_emulator: Emulator) -> AsyncIterator[Session]:
    """A session on that emulator, opened before the test and closed after it."""
    from fal_async.session import Session

    async with Session(credentials=fal_emulator.key, hosts=fal_emulator.hosts) as session:
        yield session


fal_emulator: Any = _async_fixture("fal_emulator", _fal_emulator)
fal: Any = _async_fixture("fal", _fal)
