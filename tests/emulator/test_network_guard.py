"""The network guard: what calls of this SDK raise. Other libraries: `pytest_plugin/users_guarded_tests.py`."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fal_async import Session
from fal_async.emulator import NetworkGuard, NetworkGuardError

APP = "me/model"
CALLS: dict[str, Callable[[Session], Awaitable[Any]]] = {
    "run": lambda fal: fal.run(APP),
    "subscribe": lambda fal: fal.subscribe(APP),
    "submit": lambda fal: fal.submit(APP),
    "keyed": lambda fal: fal.subscribe(APP, key="order-42"),
    "upload": lambda fal: fal.upload(b"x"),
    "platform": lambda fal: fal.platform.model("a/b"),
}


@pytest.mark.parametrize("name", CALLS)
async def test_call_of_the_real_fal_is_attempted_once_and_costs_nothing(name: str, tmp_path: Path) -> None:
    async with Session("real:key", ledger=tmp_path / "runs.db") as fal:
        for _ in range(2):  # a keyed call is not uncertain: the second one is attempted again
            with (
                NetworkGuard() as guard,
                pytest.raises(NetworkGuardError, match="nothing was sent") as caught,
            ):
                await CALLS[name](fal)
            (call,) = guard.calls
            assert (call.host, call.position) == (caught.value.host, caught.value.position)
            assert "test_network_guard.py:" in call.position


async def test_nested_guards_list_the_calls_of_their_own_blocks(fal: Session) -> None:
    with NetworkGuard() as outer:
        for _ in range(2):
            with NetworkGuard() as inner, pytest.raises(NetworkGuardError):
                socket.getaddrinfo("fal.run", 443)
            assert len(inner.calls) == 1
        await fal.run("fal-ai/any-llm", {"prompt": "x"})
        assert len(outer.take()) == 2
        assert outer.calls == []


@pytest.mark.parametrize(
    "host", ["notfal.run", "fal.run.example.com", "fal.ai.invalid", "", None, b"localhost"]
)
def test_hosts_that_are_not_fals_are_not_stopped(host: Any) -> None:
    with NetworkGuard() as guard:
        with contextlib.suppress(socket.gaierror):
            socket.getaddrinfo(host, 80, flags=socket.AI_NUMERICHOST)  # without a network
        assert guard.calls == []


@pytest.mark.parametrize(
    "host", ["fal.run", "FAL.RUN.", b"queue.fal.run", "v3b.fal.media", "a.b.fal.ai", "x.falrun.com"]
)
def test_each_spelling_of_fals_hosts_is_stopped(host: Any) -> None:
    with NetworkGuard(), pytest.raises(NetworkGuardError):
        socket.getaddrinfo(host, 80, flags=socket.AI_NUMERICHOST)


def test_nothing_is_stopped_after_the_block() -> None:
    with NetworkGuard():
        pass
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("fal.run", 80, flags=socket.AI_NUMERICHOST)
