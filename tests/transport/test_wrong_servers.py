"""Servers that are not what the URL says: the error is one readable line with a way out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib.util import find_spec
from typing import Any

import pytest
from aiohttp import web

from fal_async import FalError, Hosts, Session
from fal_async.emulator import Emulator
from tests.emulator.certificates import server_side
from tests.quick import ASK, LLM, ONCE
from tests.servers.loopback import free_port
from tests.servers.raw import answer, raw_server
from tests.servers.serving import listening


async def _talk(fal: Session) -> None:
    async with fal.realtime.connect(LLM, use_token=False):
        """Do nothing: the handshake fails before."""


CALLS: Mapping[str, Callable[[Session], Awaitable[Any]]] = {
    "run": lambda fal: fal.run(LLM, ASK),
    "submit": lambda fal: fal.queue.submit(LLM, ASK),
    "status": lambda fal: fal.queue.status(LLM, "r-1"),
    "upload": lambda fal: fal.storage.upload(b"abc", file_name="a.txt"),
    "realtime": _talk,
}


async def said(hosts: Hosts, call: str) -> str:
    async with Session("a:b", hosts=hosts, retry=ONCE) as fal:
        with pytest.raises(FalError) as caught:
            await CALLS[call](fal)
    return str(caught.value)


@pytest.mark.parametrize("call", CALLS)
async def test_https_to_a_server_without_tls_says_that_http_may_be_expected(
    emulator: Emulator, call: str
) -> None:
    hosts = Hosts.local(emulator.url.replace("http:", "https:"))
    assert "the server does not speak TLS (does it expect http?)" in await said(hosts, call)


@pytest.mark.parametrize("call", CALLS)
async def test_http_to_a_server_with_tls_says_that_https_may_be_expected(
    no_tasks_left: None, call: str
) -> None:
    async with Emulator(ssl=server_side()) as emulator:
        hosts = Hosts.local(emulator.url.replace("https:", "http:"))
        assert "closed the connection without a response (does it expect https?)" in await said(hosts, call)


@pytest.mark.parametrize("call", CALLS)
async def test_a_closed_port_is_named_in_the_error(call: str) -> None:
    port = free_port()
    assert f"no connection to 127.0.0.1:{port}: Connection refused" in await said(
        Hosts.local(f"http://127.0.0.1:{port}"), call
    )


@pytest.mark.parametrize("call", ["submit", "status", "upload"])
async def test_a_web_page_instead_of_fal_is_named_in_the_error(call: str) -> None:
    async def page(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="<html>Welcome</html>", content_type="text/html")

    async with listening(page) as url:
        words = await said(Hosts.local(url), call)
    assert "text/html" in words
    assert "is not JSON: check that the host is fal's" in words


@pytest.mark.skipif(find_spec("brotli") is not None, reason="aiohttp reads it where Brotli is installed")
@pytest.mark.parametrize("call", ["run", "submit", "status", "upload"])
async def test_an_unknown_content_encoding_is_named_in_the_error(call: str) -> None:
    async with raw_server(lambda _: answer({"a": 1}, content_encoding="br")) as url:
        assert "has an unknown Content-Encoding" in await said(Hosts.local(url), call)
