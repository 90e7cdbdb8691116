"""A session without a key sends nothing that needs one; with `ANONYMOUS` it sends calls without a key."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import fal_async
from fal_async import ANONYMOUS, AuthenticationError, ConfigurationError, Session
from fal_async.emulator import Emulator
from tests.quick import ASK, LLM, ONCE, session_on


async def _talk(fal: Session) -> None:
    async with fal.realtime.connect("fal-ai/fast-lcm-diffusion") as connection:
        await connection.send(ASK)


async def _call_over_websocket(fal: Session) -> None:
    async with fal.websocket(LLM) as connection:
        await connection.run(ASK)


CALLS: Mapping[str, Callable[[Session], Awaitable[Any]]] = {
    "run": lambda fal: fal.run(LLM, ASK),
    "run with a file": lambda fal: fal.run(LLM, {"file": fal_async.File(b"abc", file_name="a.txt")}),
    "subscribe": lambda fal: fal.subscribe(LLM, ASK),
    "subscribe by stream": lambda fal: fal.subscribe(LLM, ASK, mode="streaming"),
    "submit": lambda fal: fal.queue.submit(LLM, ASK),
    "status": lambda fal: fal.queue.status(LLM, "r-1"),
    "result": lambda fal: fal.queue.result(LLM, "r-1"),
    "cancel": lambda fal: fal.queue.cancel(LLM, "r-1"),
    "stream": lambda fal: fal.stream(LLM, ASK).last(),
    "upload": lambda fal: fal.storage.upload(b"abc", file_name="a.txt"),
    "realtime": _talk,
    "websocket": _call_over_websocket,
    "verify_credentials": lambda fal: fal.verify_credentials(),
    "a view": lambda fal: fal.with_options(timeout=5).run(LLM, ASK),
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_without_a_key_is_refused_and_sends_nothing(emulator: Emulator, call: str) -> None:
    async with Session(hosts=emulator.hosts, retry=ONCE) as fal:
        with pytest.raises(
            ConfigurationError, match="no FAL_KEY found: set the environment variable FAL_KEY"
        ):
            await CALLS[call](fal)
    assert emulator.requests == []


@pytest.mark.parametrize("call", ["run", "subscribe", "submit", "upload"])
async def test_a_shortcut_without_a_key_is_refused_and_sends_nothing(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setenv("FAL_BASE_URL", emulator.url)
    arguments: tuple[Any, ...] = (b"abc",) if call == "upload" else (LLM, ASK)
    with pytest.raises(ConfigurationError, match="no FAL_KEY found"):
        await getattr(fal_async, call)(*arguments)
    assert emulator.requests == []


async def test_a_public_file_is_downloaded_without_a_key(emulator: Emulator, tmp_path: Path) -> None:
    async with session_on(emulator) as fal:
        url = await fal.storage.upload(b"abc", file_name="a.txt")
    async with Session(hosts=emulator.hosts) as fal:
        assert (await fal.storage.download(url, tmp_path / "a.txt")).read_bytes() == b"abc"


async def test_an_anonymous_session_calls_public_models_without_a_key(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    @emulator.endpoint("me/open", public=True)
    async def model(input: Any) -> Any:
        return input

    monkeypatch.setenv("FAL_KEY", emulator.key)  # ignored by an anonymous session
    async with Session(ANONYMOUS, hosts=emulator.hosts) as fal:
        assert (await fal.run("me/open", {"a": 1})).data == {"a": 1}
        assert (await fal.subscribe("me/open", {"a": 2})).data == {"a": 2}
        with pytest.raises(AuthenticationError):
            await fal.run(LLM, ASK)
        with pytest.raises(ConfigurationError, match="no key to verify"):
            await fal.verify_credentials()
    async with session_on(emulator) as fal:
        view = fal.with_options(credentials=ANONYMOUS)
        assert (await view.run("me/open", {"a": 3})).data == {"a": 3}
    assert emulator.count("run") == 3
    assert all("Authorization" not in request.headers for request in emulator.requests)


def test_anonymous_is_the_same_object_after_copy_and_pickle() -> None:
    assert copy.deepcopy(ANONYMOUS) is pickle.loads(pickle.dumps(ANONYMOUS)) is ANONYMOUS
    assert repr(ANONYMOUS) == "ANONYMOUS"
