"""`ws.fal.run` of the emulator, as a plain WebSocket client sees it (protocol 5.2)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from fal_async.emulator import Emulator, Fault, ModelError
from tests.emulator.caller import Caller


@pytest.fixture(autouse=True)
def models(emulator: Emulator) -> None:
    @emulator.endpoint("me/echo")
    async def echo(input: Any) -> Any:
        if input == "fail":
            raise ModelError(422, [{"loc": ["body"], "msg": "no", "type": "x"}])
        return input

    @emulator.endpoint("me/count")
    async def count(input: Any) -> AsyncIterator[int]:
        for number in range(input):
            yield number


async def connect(caller: Caller, path: str) -> aiohttp.ClientWebSocketResponse:
    return await caller.http.ws_connect(
        f"{caller.emulator.url}/ws.fal.run/{path}", headers=caller.with_headers()
    )


async def exchange(socket: aiohttp.ClientWebSocketResponse) -> tuple[dict[str, Any], bytes, dict[str, Any]]:
    start = json.loads(await socket.receive_str())
    body = b""
    while True:
        message = await socket.receive(timeout=5)
        if message.type is aiohttp.WSMsgType.TEXT:
            return start, body, json.loads(message.data)
        body += message.data


async def test_several_payloads_on_one_websocket_are_answered_in_order(caller: Caller) -> None:
    socket = await connect(caller, "me/echo")
    for payload in ({"a": 1}, "fail", [2]):
        await socket.send_json(payload)
    answers = [await exchange(socket) for _ in range(3)]
    await socket.close()
    assert [start["status"] for start, _, _ in answers] == [200, 422, 200]
    assert [json.loads(body) for _, body, _ in answers][::2] == [{"a": 1}, [2]]
    for start, _, end in answers:
        assert (start["type"], end["type"]) == ("start", "end")
        assert start["request_id"] == end["request_id"]
        assert start["headers"]["content-type"] == "application/json"
        assert end["time_to_first_byte_seconds"] >= 0
    assert len({start["request_id"] for start, _, _ in answers}) == 3
    assert {job.via for job in caller.emulator.jobs.values()} == {"websocket"}


async def test_a_stream_over_a_websocket_sends_its_body_and_refuses_broken_json(caller: Caller) -> None:
    socket = await connect(caller, "me/count/stream")
    await socket.send_json(2)
    start, body, _ = await exchange(socket)
    assert start["headers"]["Content-Type"] == "text/event-stream"
    assert body == b"data: 0\n\ndata: 1\n\n"
    await socket.send_str("{")
    start, body, _ = await exchange(socket)
    assert (start["status"], json.loads(body)["detail"][0]["type"]) == (422, "json_invalid")
    await socket.close()


async def test_http_over_websocket_refuses_plain_http_unknown_paths_and_a_missing_key(caller: Caller) -> None:
    assert (await caller.get("/ws.fal.run/me/echo")).status == 426
    for path in ("me/none", "me/echo/stream"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connect(caller, path)
        assert refused.value.status == 404
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await caller.http.ws_connect(f"{caller.emulator.url}/ws.fal.run/me/echo")
    assert refused.value.status == 401


async def test_close_and_reset_faults_end_a_websocket_between_answers(caller: Caller) -> None:
    for fault in (Fault.close(taken=True, on="websocket"), Fault.reset(taken=True, on="websocket")):
        caller.emulator.faults.add(fault)
        socket = await connect(caller, "me/echo")
        await socket.send_json(1)
        await socket.receive()
        while not socket.closed:
            await socket.receive(timeout=5)
        assert socket.close_code == 1006
