from __future__ import annotations

import pytest

from fal_async.emulator import Emulator
from tests.durability.pictures import serve_pictures


@pytest.fixture
def pictures(emulator: Emulator) -> Emulator:
    """An emulator that serves the model."""
    serve_pictures(emulator)
    return emulator
