from __future__ import annotations

import pytest

from tests.emulator.caller import Caller
from tests.emulator.operations.platform.platform_caller import Platform


@pytest.fixture
def platform(caller: Caller) -> Platform:
    return Platform(caller)
