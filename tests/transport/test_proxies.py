"""HTTP proxies of the environment and of `http_proxy=`: every kind of call uses them, and none reads ~/.netrc."""

from __future__ import annotations

import asyncio
import base64
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import fal_async
from fal_async import ConfigurationError, Hosts, Session, TransportError
from fal_async.emulator import Emulator
from tests.emulator.certificates import client_side, server_side
from tests.quick import ASK, LLM, ONCE, session_on
from tests.servers.connect_proxy import connect_proxy
from tests.servers.loopback import free_port, port_of
from tests.servers.serving import listening

ELSEWHERE = Hosts.local("http://fal.invalid")
"""Hosts that don't exist, so that only a proxy can answer: the emulator answers its requests as the target."""


@pytest.fixture(params=["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def through_the_environment(
    request: pytest.FixtureRequest, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(request.param, emulator.url)


async def _talk(fal: Session) -> None:
    async with fal.realtime.connect("fal-ai/fast-lcm-diffusion") as connection:
        await connection.send({"prompt": "x"})
        assert await connection.recv()


CALLS: Mapping[str, Callable[[Session], Awaitable[Any]]] = {
    "run": lambda fal: fal.run(LLM, ASK),
    "subscribe": lambda fal: fal.subscribe(LLM, ASK, poll_interval=0.01),
    "stream": lambda fal: fal.stream(LLM, ASK).last(),
    "realtime": _talk,
    "verify_credentials": lambda fal: fal.verify_credentials(),
}


@pytest.mark.usefixtures("through_the_environment")
@pytest.mark.parametrize("call", CALLS)
async def test_a_session_uses_the_proxy_of_the_environment(emulator: Emulator, call: str) -> None:
    async with Session(emulator.key, hosts=ELSEWHERE, retry=ONCE) as fal:
        await CALLS[call](fal)
    assert emulator.requests


@pytest.mark.usefixtures("through_the_environment")
async def test_a_shortcut_uses_the_proxy_of_the_environment(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_BASE_URL", "http://fal.invalid")
    monkeypatch.setenv("FAL_KEY", emulator.key)
    assert (await fal_async.run(LLM, ASK)).data
    assert emulator.count("run") == 1


async def test_a_proxy_that_is_set_later_is_used_by_the_next_shortcut(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_BASE_URL", "http://fal.invalid")
    monkeypatch.setenv("FAL_KEY", emulator.key)
    with pytest.raises(TransportError, match="can't be resolved"):
        await fal_async.run(LLM, ASK, retry=ONCE)
    monkeypatch.setenv("HTTP_PROXY", emulator.url)
    assert (await fal_async.run(LLM, ASK)).data


async def test_an_emulator_on_this_machine_is_reached_without_the_proxy(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
    async with session_on(emulator, retry=ONCE) as fal:
        assert (await fal.run(LLM, ASK)).data
        await _talk(fal)
    async with session_on(emulator, retry=ONCE, http_proxy=f"http://127.0.0.1:{free_port()}") as fal:
        with pytest.raises(TransportError, match=r"through the proxy 127\.0\.0\.1:\d+ \(http_proxy=\)"):
            await fal.run(LLM, ASK)


@pytest.mark.parametrize("call", CALLS)
async def test_a_proxys_password_is_in_no_traceback_even_with_debug_logs(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    caplog.set_level("DEBUG", logger="fal_async")
    monkeypatch.setenv("HTTP_PROXY", f"http://user:n0t-for-you@127.0.0.1:{free_port()}")
    async with Session(emulator.key, hosts=ELSEWHERE, retry=ONCE) as fal:
        with pytest.raises(TransportError, match="through the proxy") as caught:
            await CALLS[call](fal)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
    assert "n0t-for-you" not in "".join(shown)
    assert "n0t-for-you" not in caplog.text


async def test_a_proxy_name_that_cant_be_resolved_is_in_the_error(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:n0t-for-you@proxy.invalid:3128")
    async with Session(emulator.key, hosts=ELSEWHERE, retry=ONCE) as fal:
        with pytest.raises(TransportError, match=r"the proxy proxy\.invalid:3128 \(HTTP_PROXY\) can't be"):
            await fal.run(LLM, ASK)


@pytest.mark.parametrize("no_proxy", ["fal.invalid", ".invalid", "*"])
async def test_a_host_in_no_proxy_is_reached_without_the_proxy(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, no_proxy: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", emulator.url)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    async with Session(emulator.key, hosts=ELSEWHERE, retry=ONCE) as fal:
        with pytest.raises(TransportError, match=r"fal\.invalid can't be resolved: check it"):
            await fal.run(LLM, ASK)


@pytest.mark.parametrize("call", CALLS)
async def test_a_failed_connection_names_the_proxy_that_was_ignored(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setenv("http_proxy", emulator.url)
    async with Session(emulator.key, hosts=ELSEWHERE, retry=ONCE, trust_env=False) as fal:
        with pytest.raises(TransportError, match=r"\(http_proxy names a proxy, but trust_env is False\)"):
            await CALLS[call](fal.with_options(timeout=5))
    assert emulator.requests == []


async def test_a_variable_without_a_proxy_is_refused_before_anything_is_sent(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:s3cret@127.0.0.1:1080")
    async with Session(emulator.key, hosts=ELSEWHERE) as fal:
        for call in (fal.run(LLM, ASK), _talk(fal)):
            with pytest.raises(ConfigurationError, match="ALL_PROXY does not name an HTTP proxy") as caught:
                await call
            assert "s3cret" not in str(caught.value)
    async with session_on(emulator) as fal:
        assert (await fal.run(LLM, ASK)).data


# Tunnels, which https uses.


@asynccontextmanager
async def behind_a_proxy(
    monkeypatch: pytest.MonkeyPatch, refuses: str = ""
) -> AsyncIterator[tuple[Session, list[str]]]:
    async with (
        Emulator(speed=50, ssl=server_side()) as emulator,
        connect_proxy(port_of(emulator.url), refuses) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with Session(emulator.key, hosts=Hosts(backup=False), ssl=client_side(), retry=ONCE) as fal:
            yield fal, proxy.asked


@pytest.mark.parametrize("call", ["run", "subscribe", "stream", "realtime"])
async def test_https_tunnels_are_opened_with_the_proxys_user_and_without_the_key(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    async with behind_a_proxy(monkeypatch) as (fal, asked):
        await CALLS[call](fal)
    assert asked
    for head in asked:
        assert f"proxy-authorization: basic {base64.b64encode(b'me:s3cret').decode().lower()}" in head
        assert head.startswith("connect ")
        assert "emulator:key" not in head


@pytest.mark.parametrize("call", ["run", "stream", "submit", "realtime"])
async def test_an_error_names_a_proxy_that_refuses_without_its_password(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    calls: dict[str, Callable[[Session], Awaitable[Any]]] = {
        **CALLS,
        "submit": lambda fal: fal.queue.submit(LLM, ASK),
    }
    async with behind_a_proxy(monkeypatch, refuses="407 Proxy Authentication Required") as (fal, _):
        with pytest.raises(TransportError) as caught:
            await calls[call](fal)
    assert "through the proxy 127.0.0.1:" in str(caught.value)
    assert "(HTTPS_PROXY): the proxy answered with status 407" in str(caught.value)
    assert not caught.value.retryable
    assert "s3cret" not in repr(caught.value.__cause__)


# ~/.netrc.


@pytest.fixture(params=["HOME", "NETRC"])
def passwords_for_everybody(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login somebody password n0t-for-you\n")
    netrc.chmod(0o600)
    monkeypatch.setenv(request.param, str(tmp_path if request.param == "HOME" else netrc))


@pytest.mark.usefixtures("passwords_for_everybody")
@pytest.mark.parametrize("borrowed", [False, True])
async def test_passwords_of_netrc_are_not_sent(emulator: Emulator, tmp_path: Path, borrowed: bool) -> None:
    seen: list[Mapping[str, str]] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.headers)
        return web.Response(body=b"picture", content_type="image/png")

    async with (
        listening(answer) as url,
        aiohttp.ClientSession(trust_env=True) as lent,
        session_on(emulator, trust_env=True, client_session=lent if borrowed else None) as fal,
    ):
        await fal.storage.download(f"{url}/x.png", tmp_path / "x.png")
        for call in CALLS.values():
            await call(fal)
    assert "Authorization" not in seen[0]
    sent = [request.headers.get("Authorization") for request in emulator.requests]
    assert not [header for header in sent if header is not None and header.startswith("Basic")]


@pytest.mark.usefixtures("passwords_for_everybody", "through_the_environment")
async def test_passwords_of_netrc_are_not_sent_to_a_proxy(emulator: Emulator) -> None:
    async with Session(emulator.key, hosts=ELSEWHERE) as fal:
        await asyncio.gather(*(call(fal) for call in CALLS.values()))
    assert all("Proxy-Authorization" not in request.headers for request in emulator.requests)
