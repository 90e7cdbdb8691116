"""Realtime sessions and tokens of the emulator, as a plain WebSocket client sees them."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgpack
import pytest
from aiohttp import WSMsgType

from fal_async.emulator import Emulator, Fault, RealtimeOptions
from tests.emulator.caller import Caller


@pytest.fixture(autouse=True)
def models(emulator: Emulator) -> None:
    @emulator.endpoint("me/echo")
    async def echo(input: Any) -> Any:
        return input


class Connected:
    """The WebSocket of a session, with msgpack."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, value: Any) -> None:
        await self.socket.send_bytes(msgpack.packb(value))

    async def receive(self) -> Any:
        """Return the value of a binary frame, the JSON of a text frame, or the close code."""
        message = await self.socket.receive(timeout=5)
        if message.type is WSMsgType.BINARY:
            return msgpack.unpackb(message.data)
        if message.type is WSMsgType.TEXT:
            return json.loads(message.data)
        return self.socket.close_code


async def connect(caller: Caller, path: str, **options: Any) -> Connected:
    options.setdefault("headers", caller.with_headers())
    return Connected(await caller.http.ws_connect(f"{caller.emulator.url}/fal.run/{path}", **options))


async def token(caller: Caller, apps: list[str], path: str = "tokens/", **more: Any) -> Any:
    return (await caller.call("POST", f"/rest.fal.ai/{path}", json={"allowed_apps": apps, **more})).data


async def test_a_function_answers_each_realtime_message_with_one(caller: Caller) -> None:
    session = await connect(caller, "me/echo/realtime")
    for value in ({"a": b"\x00"}, [1, None], "é"):
        await session.send(value)
        assert await session.receive() == value
    await session.socket.close()
    [job] = caller.emulator.jobs.values()
    assert await job.wait_for("COMPLETED", timeout=5) == "COMPLETED"
    assert (job.via, caller.emulator.requests[0].kind) == ("realtime", "realtime")


@pytest.mark.parametrize("path", ["me/echo/ws", "me/echo"])
async def test_the_paths_of_other_clients_lead_to_the_same_session(caller: Caller, path: str) -> None:
    session = await connect(caller, path)
    await session.send({"a": 1})
    assert await session.receive() == {"a": 1}
    await session.socket.close()


async def test_a_generator_answers_one_realtime_message_with_many(caller: Caller) -> None:
    @caller.emulator.endpoint("me/count")
    async def count(input: Any) -> AsyncIterator[int]:
        for number in range(input):
            yield number

    session = await connect(caller, "me/count/realtime")
    await session.send(3)
    assert [await session.receive() for _ in range(3)] == [0, 1, 2]
    await session.socket.close()


async def test_an_idle_session_ends_with_timeout_and_1000(caller: Caller) -> None:
    @caller.emulator.endpoint("me/idle", realtime=RealtimeOptions(session_timeout=0.5))
    async def idle(input: Any) -> Any:
        return input

    session = await connect(caller, "me/idle/realtime")
    await session.send(1)
    assert await session.receive() == 1
    end = await session.receive()
    assert (end["type"], end["error"]) == ("x-fal-error", "TIMEOUT")
    assert await session.receive() == 1000


async def test_a_full_buffer_drops_the_oldest_and_batches_are_lists(caller: Caller) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    @caller.emulator.endpoint("me/batch", realtime=RealtimeOptions(buffering=50, max_batch_size=2))
    async def batch(input: Any) -> Any:
        started.set()
        await go_on.wait()
        return input

    session = await connect(caller, "me/batch/realtime?max_buffering=3", autoping=False)
    await session.send(0)
    await started.wait()
    for number in range(1, 9):
        await session.send(number)
    await session.socket.ping()
    assert (
        await session.socket.receive(timeout=5)
    ).type is WSMsgType.PONG  # so the server has read all inputs
    go_on.set()
    assert [await session.receive() for _ in range(3)] == [[0], [6, 7], [8]]
    await session.socket.close()


async def test_a_max_buffering_outside_1_to_60_is_refused_with_400(caller: Caller) -> None:
    for wrong in ("0", "61", "x"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connect(caller, f"me/echo/realtime?max_buffering={wrong}")
        assert refused.value.status == 400


async def test_a_session_with_timings_sends_them_after_each_answer(caller: Caller) -> None:
    @caller.emulator.endpoint("me/timed", realtime=RealtimeOptions(timings=True, codec="json"))
    async def timed(input: Any) -> Any:
        return input

    session = await connect(caller, "me/timed/realtime")
    await session.socket.send_str("5")
    assert await session.receive() == 5
    timings = await session.receive()
    assert (timings["type"], timings["action"]) == ("x-fal-message", "timings")
    assert timings["timing"] >= 0
    await session.socket.close()


async def test_a_model_with_client_streaming_reads_the_whole_session(caller: Caller) -> None:
    @caller.emulator.endpoint("me/sum", realtime=RealtimeOptions(client_streaming=True))
    async def total(inputs: AsyncIterator[int]) -> int:
        sum = 0
        async for number in inputs:
            if number == 0:
                break
            sum += number
        return sum

    session = await connect(caller, "me/sum/realtime")
    for number in (1, 2, 3, 0):
        await session.send(number)
    assert await session.receive() == 6
    assert (await session.receive())["error"] == "TIMEOUT"
    assert await session.receive() == 1000


@pytest.mark.parametrize("frame", [b"\xc1", "text"])
async def test_an_unreadable_input_is_an_internal_error(caller: Caller, frame: bytes | str) -> None:
    session = await connect(caller, "me/echo/realtime")
    await (session.socket.send_bytes(frame) if isinstance(frame, bytes) else session.socket.send_str(frame))
    assert (await session.receive())["error"] == "INTERNAL_ERROR"
    assert await session.receive() == 1000


async def test_a_failing_model_is_an_internal_error(caller: Caller) -> None:
    @caller.emulator.endpoint("me/fails")
    async def fails(input: Any) -> Any:
        raise ValueError("no such thing")

    session = await connect(caller, "me/fails/realtime")
    await session.send(1)
    error = await session.receive()
    assert (error["type"], error["error"]) == ("x-fal-error", "INTERNAL_ERROR")
    assert "no such thing" in error["reason"]


async def test_a_realtime_token_opens_only_the_apps_that_it_names(caller: Caller) -> None:
    plain = await token(caller, ["echo"], token_expiration=60)
    whole = (await token(caller, ["me/echo/realtime"], "tokens/realtime", duration=60))["token"]
    wrong = await token(caller, ["me/echo"], token_expiration=60)
    for good in (plain, whole):
        session = await connect(caller, f"me/echo/realtime?fal_jwt_token={good}", headers={})
        await session.send(1)
        assert await session.receive() == 1
        await session.socket.close()
    for bad in (wrong, "nonsense"):
        session = await connect(caller, f"me/echo/realtime?fal_jwt_token={bad}", headers={})
        assert await session.receive() == {"status": "error", "error": "Unauthorized"}
        assert await session.receive() == 1008


async def test_expired_and_revoked_realtime_tokens_are_refused_but_open_sessions_continue(
    caller: Caller,
) -> None:
    short = await token(caller, ["echo"], token_expiration=0.001)
    claims = json.loads(base64.urlsafe_b64decode(short.split(".")[1] + "=="))
    assert abs(claims["exp"] - time.time()) < 2
    await asyncio.sleep(0.01)  # ten times its lifetime
    session = await connect(caller, f"me/echo/realtime?fal_jwt_token={short}", headers={})
    assert (await session.receive())["error"] == "Unauthorized"
    long = await token(caller, ["echo"])
    open_one = await connect(caller, f"me/echo/realtime?fal_jwt_token={long}", headers={})
    caller.emulator.revoke_realtime_tokens()
    session = await connect(caller, f"me/echo/realtime?fal_jwt_token={long}", headers={})
    assert (await session.receive())["error"] == "Unauthorized"
    await open_one.send(1)
    assert await open_one.receive() == 1
    await open_one.socket.close()


async def test_a_malformed_realtime_token_request_is_refused(caller: Caller) -> None:
    for body in (b"", b"{}", b'{"allowed_apps": []}', b'{"allowed_apps": ["a"], "token_expiration": 0}'):
        assert (await caller.call("POST", "/rest.fal.ai/tokens/", data=body)).status == 422
    assert (await caller.call("GET", "/rest.fal.ai/tokens/")).status == 405
    assert (await caller.call("POST", "/rest.fal.ai/tokens/", data=b"{}", headers={})).status == 401


async def test_a_realtime_handshake_without_a_good_key_gets_401_and_an_unknown_app_404(
    caller: Caller,
) -> None:
    for path, headers, status in [
        ("me/echo/realtime", {}, 401),
        ("me/echo/realtime", {"Authorization": "Key a:b"}, 401),
        ("me/nothing/realtime", caller.with_headers(), 404),
    ]:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connect(caller, path, headers=headers)
        assert refused.value.status == status


async def test_faults_insert_frames_break_off_close_or_refuse_realtime_sessions(caller: Caller) -> None:
    add = caller.emulator.faults.add

    async def outcome(*, of: int = 1) -> list[Any]:
        session = await connect(caller, "me/echo/realtime")
        for number in range(of):
            await session.send({"n": number})
        got = []
        while not session.socket.closed:
            got.append(await session.receive())
        return got

    add(Fault.ws_close(1012, "restart", on="realtime"))
    assert await outcome() == [{"n": 0}, 1012]
    add(Fault.frame('{"type":"x-fal-error","error":"TIMEOUT"}', events=0, on="realtime"))
    add(Fault.close(taken=True, on="realtime"))
    session = await connect(caller, "me/echo/realtime")
    assert (await session.receive())["error"] == "TIMEOUT"
    await session.socket.close()
    assert await outcome() == [{"n": 0}, 1006]
    add(Fault.reset(taken=True, on="realtime"))
    assert (await outcome())[-1] == 1006
    add(Fault.truncate(on="realtime", events=2))
    assert await outcome(of=2) == [{"n": 0}, 1006]
    add(Fault.frame('{"type":"x-fal-error"}', binary=True, on="realtime"))
    session = await connect(caller, "me/echo/realtime")
    await session.send(1)
    assert [await session.receive(), await session.receive()] == [1, {"type": "x-fal-error"}]
    await session.socket.close()
    add(Fault.answer(503, on="realtime"))
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await connect(caller, "me/echo/realtime")


async def test_a_truncate_fault_with_events_0_does_not_change_a_session(caller: Caller) -> None:
    caller.emulator.faults.add(Fault.truncate(events=0, on="realtime"))
    session = await connect(caller, "me/echo/realtime")
    await session.send(1)
    assert await session.receive() == 1
    assert caller.emulator.faults.struck == 1
    await session.socket.close()


async def test_a_stalled_session_does_not_answer_the_clients_pings(caller: Caller) -> None:
    caller.emulator.faults.add(Fault.stall(30, where="body", on="realtime"))
    session = await connect(caller, "me/echo/realtime", heartbeat=0.1)
    await session.send(1)
    assert await session.receive() == 1
    message = await session.socket.receive(timeout=5)
    assert message.type is WSMsgType.ERROR


async def test_the_built_in_live_model_sends_png_bytes_in_a_session(caller: Caller) -> None:
    session = await connect(caller, "fal-ai/fast-lcm-diffusion/realtime")
    await session.send({"prompt": "a cat", "seed": 1, "size": 64})
    first = await session.receive()
    assert first["images"][0]["content"].startswith(b"\x89PNG")
    assert (await session.receive())["action"] == "timings"
    await session.socket.close()
    plain = await caller.run("fal-ai/fast-lcm-diffusion", {"prompt": "a cat", "seed": 1, "size": 64})
    picture = await caller.get(plain.data["images"][0]["url"])
    assert picture.body == first["images"][0]["content"]


async def test_stopping_the_emulator_ends_open_realtime_sessions() -> None:
    async with Emulator() as emulator, aiohttp.ClientSession() as http:
        caller = Caller(emulator, http)

        @emulator.endpoint("me/echo")
        async def echo(input: Any) -> Any:
            return input

        session = await connect(caller, "me/echo/realtime")
        await session.send(1)
        assert await session.receive() == 1
        await emulator.stop()
        assert await session.receive() == 1006


@pytest.mark.parametrize("waits", [True, False], ids=["waits", "leaves"])
async def test_a_session_that_the_client_closes_is_not_called_disconnected(
    caller: Caller, *, waits: bool
) -> None:
    for code in (1000, 1001, 4000):
        session = await connect(caller, "me/echo/realtime")
        await session.send({"a": 1})
        assert await session.receive() == {"a": 1}
        if waits:
            await session.socket.close(code=code)
        else:  # the close frame and the end of the connection arrive together
            closing = asyncio.ensure_future(session.socket.close(code=code))
            await asyncio.sleep(0)
            response = session.socket._response
            response.close()
            await closing
    for job in caller.emulator.jobs.values():
        await job.wait_for("COMPLETED", timeout=5)
        assert (job.error, job.error_type) == (None, None)


async def test_a_session_whose_connection_is_lost_is_called_disconnected(caller: Caller) -> None:
    session = await connect(caller, "me/echo/realtime")
    await session.send({"a": 1})
    await session.receive()
    caller.emulator.drop_connections()
    (job,) = caller.emulator.jobs.values()
    await job.wait_for("COMPLETED", timeout=5)
    assert job.error_type == "client_disconnected"
    await session.socket.close()
