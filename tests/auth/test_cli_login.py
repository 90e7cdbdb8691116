"""The login of fal's command line as a source of keys."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from pathlib import Path

import pytest

from fal_async import (
    AuthenticationError,
    ConfigurationError,
    Session,
)
from fal_async.emulator import Emulator
from tests.quick import ASK, LLM, gate_at


def login_token(expires_in: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + expires_in}).encode()).decode()
    return f"head.{claims.rstrip('=')}.signature"


@pytest.mark.parametrize("life", [None, -10, 100, "no token"])
async def test_the_command_lines_login_is_refreshed_but_not_written(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, life: float | str | None
) -> None:
    stored = login_token(life) if isinstance(life, int | float) else life
    text = "\n".join(["refresh-1", *([stored] if stored else [])])
    (tmp_path / "auth0_token").write_text(text)
    monkeypatch.setenv("FAL_HOME_DIR", str(tmp_path))
    emulator.add_login("refresh-1")
    async with Session(hosts=emulator.hosts) as fal:
        await asyncio.gather(*(fal.run(LLM, ASK) for _ in range(10)))
        assert emulator.count("token") == 1
        emulator.revoke_tokens()
        await fal.run(LLM, ASK)
        assert emulator.count("token") == 2
    assert (tmp_path / "auth0_token").read_text() == text


async def test_a_login_that_has_ended_says_what_to_do(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "auth0_token").write_text("unknown\n")
    monkeypatch.setenv("FAL_HOME_DIR", str(tmp_path))
    async with Session(hosts=emulator.hosts) as fal:
        with pytest.raises(AuthenticationError, match="fal auth login") as caught:
            await fal.run(LLM, ASK)
    assert "unknown" not in str(caught.value)


async def test_forced_login_ignores_the_key(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", emulator.key)
    monkeypatch.setenv("FAL_FORCE_AUTH_BY_USER", "1")
    async with Session(hosts=emulator.hosts) as fal:
        with pytest.raises(ConfigurationError, match="no FAL_KEY"):
            await fal.run(LLM, ASK)


@pytest.mark.parametrize("calls", [100, 150])
async def test_many_submits_at_once_share_one_refresh_of_the_login(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """They wait for the key without holding a connection, which the refresh needs."""
    (tmp_path / "auth0_token").write_text("refresh-1")
    monkeypatch.setenv("FAL_HOME_DIR", str(tmp_path))
    emulator.add_login("refresh-1")
    gate_at(emulator)
    async with Session(hosts=emulator.hosts) as fal:
        handles = await asyncio.gather(*(fal.queue.submit("me/gate", {"n": n}) for n in range(calls)))
    assert len({handle.request_id for handle in handles}) == calls
    assert emulator.count("token") == 1


async def test_a_token_that_fal_refuses_is_refreshed_once_for_all_calls_under_way(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "auth0_token").write_text("refresh-1")
    monkeypatch.setenv("FAL_HOME_DIR", str(tmp_path))
    emulator.add_login("refresh-1")
    async with Session(hosts=emulator.hosts) as fal:
        await fal.run(LLM, ASK)
        for refreshes in (2, 3):
            emulator.revoke_tokens()
            await asyncio.gather(*(fal.run(LLM, ASK) for _ in range(10)))
            assert emulator.count("token") == refreshes
