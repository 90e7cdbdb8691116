"""The private names of aiohttp that the transport uses still exist, and only one module uses them."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

import fal_async.transport
from fal_async.emulator import Emulator, Fault
from fal_async.transport import _aiohttp_private
from tests.structure.private_names import modules_with_foreign_private_names


def test_aiohttp_client_session_still_has_its_loop() -> None:
    assert "_loop" in aiohttp.ClientSession.ATTRS, "aiohttp renamed ClientSession._loop"


@pytest.mark.parametrize("name", ["_default_proxy", "_default_proxy_auth", "_trace_configs"])
def test_aiohttp_client_session_still_has_its_proxy_and_traces(name: str) -> None:
    assert name in aiohttp.ClientSession.ATTRS, f"aiohttp renamed ClientSession.{name}"


@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The 'proxy_auth' parameter is deprecated:DeprecationWarning")
async def test_default_proxy_of_returns_the_proxy_with_its_user() -> None:
    async with aiohttp.ClientSession(proxy="http://a:1", proxy_auth=aiohttp.BasicAuth("me", "p@ss")) as http:
        assert _aiohttp_private.default_proxy_of(http) == "http://me:p%40ss@a:1"
    async with aiohttp.ClientSession(proxy="http://me:p%40ss@a:1") as http:
        assert _aiohttp_private.default_proxy_of(http) == "http://me:p%40ss@a:1"
    async with aiohttp.ClientSession() as http:
        assert _aiohttp_private.default_proxy_of(http) is None


async def test_aiohttp_connector_still_has_its_idle_connections_and_parsers(emulator: Emulator) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(emulator.url) as answer:
            await answer.read()
        (protocol,) = _aiohttp_private.idle_protocols(http.connector)
        assert hasattr(protocol, "_parser"), "aiohttp renamed ResponseHandler._parser"
        assert not _aiohttp_private.has_begun_an_answer(protocol)
        protocol.data_received(b"HTTP/1.1 200 O")
        assert _aiohttp_private.has_begun_an_answer(protocol)


async def test_aiohttp_connector_still_has_the_connections_in_use(emulator: Emulator) -> None:
    emulator.faults.add(Fault.stall(0.01, on="run", where="body"))
    headers = {"Authorization": f"Key {emulator.key}"}
    async with aiohttp.ClientSession() as http:
        answer = await http.post(
            f"{emulator.hosts.run}/fal-ai/any-llm", json={"prompt": "x"}, headers=headers
        )
        assert _aiohttp_private.in_use(http) == 1
        await answer.read()
        assert _aiohttp_private.in_use(http) == 0


def test_no_other_module_reads_a_private_attribute_of_another_object() -> None:
    root = Path(fal_async.transport.__file__).parent
    assert modules_with_foreign_private_names(root) == {Path(_aiohttp_private.__file__)}
