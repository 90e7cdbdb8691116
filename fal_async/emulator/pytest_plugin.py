"""Fixtures for pytest: `fal_emulator`, `fal_key`, `fal_env` and `fal`.

They are synchronous fixtures, so they work in synchronous tests, and with every plugin for asynchronous ones.
pytest imports this module in every run if fal_async is installed, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fal_async.emulator.server import Emulator
    from fal_async.session import Session

SPEED = 50.0
"""Time factor of the fixture's emulator: a model's 2 s take 40 ms."""
_OTHER_SETTINGS = (
    "FAL_KEY_ID",
    "FAL_KEY_SECRET",
    "FAL_FORCE_AUTH_BY_USER",
    "FAL_RUN_HOST",
    "FAL_QUEUE_RUN_HOST",
    "FAL_OPENAPI_HOST",
)
"""Variables that may take precedence over FAL_BASE_URL and FAL_KEY in some client (protocol 1.3)."""


@pytest.fixture
def fal_emulator() -> Iterator[Emulator]:
    """A local fal for this test, on a free port and with speed=50, in a thread of its own."""
    from fal_async.emulator.server import Emulator

    with Emulator(speed=SPEED) as emulator:
        yield emulator


@pytest.fixture
def fal_key(fal_emulator: Emulator) -> str:
    """The API key of `fal_emulator`."""
    return fal_emulator.key


@pytest.fixture
def fal_env(fal_emulator: Emulator, fal_key: str, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """Lead this process and its child processes to `fal_emulator`; returns the variables that it sets."""
    variables = {"FAL_BASE_URL": fal_emulator.url, "FAL_KEY": fal_key}
    for name in _OTHER_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def fal(fal_emulator: Emulator, fal_key: str) -> Iterator[Session]:
    """A session on `fal_emulator`, for every event loop; it is open from its first call to the end of the test."""
    from fal_async.session import Session
    from fal_async.session.loop_sessions import SessionOfEachLoop

    session = SessionOfEachLoop(lambda: Session(fal_key, hosts=fal_emulator.hosts))
    yield session
    session.close_all()
