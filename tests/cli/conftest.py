"""The fixture `shell`: verbs in this process, against an emulator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.shell import Shell, emulator_thread


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with emulator_thread(speed=50) as emulator:
        monkeypatch.setenv("FAL_BASE_URL", emulator.url)
        monkeypatch.setenv("FAL_KEY", emulator.key)
        yield Shell(emulator, capsys)
