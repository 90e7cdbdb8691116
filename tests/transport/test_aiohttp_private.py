"""The private names of aiohttp that the transport relies on are still there, and used in one module only."""

from __future__ import annotations

from pathlib import Path

import aiohttp

import fal_async.transport
from fal_async.emulator import Emulator
from fal_async.transport import _aiohttp_private
from tests.structure.private_names import modules_with_foreign_private_names


def test_client_session_has_loop() -> None:
    assert "_loop" in aiohttp.ClientSession.ATTRS, "aiohttp renamed ClientSession._loop"


async def test_client_websocket_response_has_response(emulator: Emulator) -> None:
    url = f"{emulator.hosts.realtime}/fal-ai/fast-lcm-diffusion/realtime"
    headers = {"Authorization": f"Key {emulator.key}"}
    async with aiohttp.ClientSession() as http, http.ws_connect(url, headers=headers) as socket:
        assert hasattr(socket, "_response"), "aiohttp renamed ClientWebSocketResponse._response"
        assert not _aiohttp_private.was_redirected(socket)


async def test_a_connector_has_its_idle_connections_and_their_parsers(emulator: Emulator) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(emulator.url) as answer:
            await answer.read()
        (protocol,) = _aiohttp_private.idle_protocols(http.connector)
        assert hasattr(protocol, "_parser"), "aiohttp renamed ResponseHandler._parser"
        assert not _aiohttp_private.has_begun_an_answer(protocol)
        protocol.data_received(b"HTTP/1.1 200 O")
        assert _aiohttp_private.has_begun_an_answer(protocol)


def test_no_other_module_reads_a_private_attribute_of_another_object() -> None:
    root = Path(fal_async.transport.__file__).parent
    assert modules_with_foreign_private_names(root) == {Path(_aiohttp_private.__file__)}
