"""The login of fal's command line as the source of the key."""

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
    TransportError,
)
from fal_async.emulator import Emulator, Fault
from tests.quick import ASK, LLM, ONCE, gate_at


def login_token(expires_in: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + expires_in}).encode()).decode()
    return f"head.{claims.rstrip('=')}.signature"


@pytest.mark.parametrize("life", [None, -10, 100, "no token"])
async def test_the_login_of_the_command_line_is_refreshed_but_its_file_is_not_written(
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


async def test_an_expired_login_raises_authentication_error_that_says_what_to_do(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "auth0_token").write_text("unknown\n")
    monkeypatch.setenv("FAL_HOME_DIR", str(tmp_path))
    async with Session(hosts=emulator.hosts) as fal:
        with pytest.raises(AuthenticationError, match="fal auth login") as caught:
            await fal.run(LLM, ASK)
    assert "unknown" not in str(caught.value)


async def test_a_forced_login_ignores_the_key_of_the_environment(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_KEY", emulator.key)
    monkeypatch.setenv("FAL_FORCE_AUTH_BY_USER", "1")
    async with Session(hosts=emulator.hosts) as fal:
        with pytest.raises(ConfigurationError, match="no FAL_KEY"):
            await fal.run(LLM, ASK)


@pytest.mark.parametrize("calls", [100, 150])
async def test_many_submits_at_once_share_one_refresh_of_the_login(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """They wait for the key without occupying a connection, because the refresh needs one."""
    (tmp_path / "auth0_token").write_text("refresh-1")
    monkeypatch.setenv("FAL_HOME_DIR", str(tmp_path))
    emulator.add_login("refresh-1")
    gate_at(emulator)
    async with Session(hosts=emulator.hosts) as fal:
        handles = await asyncio.gather(*(fal.queue.submit("me/gate", {"n": n}) for n in range(calls)))
    assert len({handle.request_id for handle in handles}) == calls
    assert emulator.count("token") == 1


async def test_a_token_that_fal_refuses_is_refreshed_once_for_all_running_calls(
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


@pytest.mark.parametrize("home", ["~no-such-user-here/.fal", "/dev/null/.fal", "/nonexistent"])
async def test_a_user_without_a_home_folder_has_no_login(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("FAL_HOME_DIR", home)
    async with Session(hosts=emulator.hosts) as fal:
        with pytest.raises(ConfigurationError, match="no FAL_KEY found"):
            await fal.run(LLM, ASK)


async def test_the_login_is_read_even_if_no_thread_can_be_started(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FAL_HOME_DIR", str(tmp_path))
    await asyncio.get_running_loop().shutdown_default_executor()
    async with Session(hosts=emulator.hosts) as fal:
        with pytest.raises(ConfigurationError, match="no FAL_KEY found"):
            await fal.run(LLM, ASK)


async def test_an_unreadable_login_file_raises_an_error_that_says_what_to_do(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_HOME_DIR", str(tmp_path))
    login = tmp_path / "auth0_token"
    async with Session(hosts=emulator.hosts) as fal:
        login.mkdir()
        with pytest.raises(ConfigurationError, match=r"can't be read \(IsADirectoryError\): set FAL_KEY"):
            await fal.run(LLM, ASK)
        login.rmdir()
        login.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ConfigurationError, match=r"can't be read \(UnicodeDecodeError\): set FAL_KEY"):
            await fal.run(LLM, ASK)
    assert not emulator.requests


async def test_an_unavailable_login_service_raises_a_retryable_transport_error(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "auth0_token").write_text("refresh-1")
    monkeypatch.setenv("FAL_HOME_DIR", str(tmp_path))
    emulator.add_login("refresh-1")
    async with Session(hosts=emulator.hosts, retry=ONCE) as fal:
        emulator.faults.add(Fault.answer(503, on="token"))
        with pytest.raises(TransportError, match="fal's login service responded with 503") as caught:
            await fal.run(LLM, ASK)
        assert caught.value.retryable
        await fal.run(LLM, ASK)
    assert emulator.count("run") == 1


async def test_a_login_token_with_invalid_characters_is_refused(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = login_token(1000).replace("head", "hé ad")
    (tmp_path / "auth0_token").write_text(f"refresh-1\n{stored}")
    monkeypatch.setenv("FAL_HOME_DIR", str(tmp_path))
    async with Session(hosts=emulator.hosts) as fal:
        with pytest.raises(ConfigurationError, match="not allowed in a key"):
            await fal.run(LLM, ASK)
    assert not emulator.requests
