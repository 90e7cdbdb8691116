"""HTTP over WebSocket of a session against the emulator (protocol 5.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from fal_async import (
    AuthenticationError,
    ConfigurationError,
    File,
    NotFoundError,
    RealtimeError,
    ResponseDecodeError,
    Session,
    SessionStateError,
    StreamError,
    UploadError,
    ValidationError,
    WorkflowFailure,
    WorkflowSubmit,
)
from fal_async.emulator import Emulator, Event, Fault, ModelError


@attrs.frozen
class Number:
    n: int


@pytest.fixture(autouse=True)
def models(emulator: Emulator) -> None:
    @emulator.endpoint("me/echo")
    async def echo(input: Any) -> Any:
        if "fail" in input:
            raise ModelError(422, [{"loc": ["body"], "msg": "no", "type": "x"}])
        return input

    @emulator.endpoint("me/count")
    async def count(input: Any) -> AsyncIterator[Any]:
        for number in range(input["n"]):
            yield {"n": number}
        if "error" in input:
            yield Event("broken", event="error")

    @emulator.endpoint("me/bytes")
    async def pieces(input: Any) -> AsyncIterator[bytes]:
        yield b"\x00one"
        yield b"two\xff"


async def test_responses_over_a_websocket_come_in_the_order_of_the_inputs(
    fal: Session, emulator: Emulator
) -> None:
    async with fal.websocket("me/echo") as calls:
        first = await calls.run({"n": 0}, output_type=Number)
        assert (first.data, first.request_id) == (Number(0), next(iter(emulator.jobs)))
        for number in range(1, 6):
            await calls.send({"n": number})
        assert calls.unanswered == 5
        with pytest.raises(RealtimeError, match="come first"):
            await calls.run({"n": 9})
        assert [(await calls.recv()).data["n"] for _ in range(5)] == [1, 2, 3, 4, 5]
        with pytest.raises(RealtimeError, match="no input waits for a response"):
            await calls.recv()
    assert emulator.count("websocket") == 1
    assert len(emulator.jobs) == 6


async def test_an_input_refused_over_a_websocket_does_not_affect_the_next_one(fal: Session) -> None:
    async with fal.websocket("me/echo") as calls:
        await calls.send({"fail": 1})
        await calls.send({"n": 2})
        with pytest.raises(ValidationError, match="no") as caught:
            await calls.recv()
        assert caught.value.request_id
        assert (await calls.recv()).data == {"n": 2}


async def test_streams_over_a_websocket_yield_values_errors_and_bytes(fal: Session) -> None:
    async with fal.websocket("me/count", path="/stream") as calls:
        await calls.send({"n": 3})
        await calls.send({"n": 1})
        assert [value["n"] async for value in calls.stream()] == [0, 1, 2]
        assert (await calls.recv()).data.startswith('data: {"n":0}')
        await calls.send({"n": 0, "error": True})
        with pytest.raises(StreamError, match="broken"):
            await anext(calls.stream())
    async with fal.websocket("me/bytes/stream") as calls:
        await calls.send()
        assert b"".join([chunk async for chunk in calls.stream()]) == b"\x00onetwo\xff"


async def test_a_failed_workflow_step_over_a_websocket_raises_stream_error(
    fal: Session, emulator: Emulator
) -> None:
    @emulator.endpoint("workflows/me/story")
    async def story(_: Any) -> AsyncIterator[Any]:
        yield {"type": "submit"}
        yield {"type": "error", "message": "step upscale failed"}

    async with fal.websocket("workflows/me/story/stream") as calls:
        await calls.send({})
        values = calls.stream()
        assert await anext(values) == WorkflowSubmit()
        with pytest.raises(StreamError, match="step upscale failed") as caught:
            await anext(values)
    assert caught.value.detail == WorkflowFailure(message="step upscale failed")


async def test_the_rest_of_an_abandoned_stream_over_a_websocket_is_skipped(fal: Session) -> None:
    async with fal.websocket("me/count/stream") as calls:
        await calls.send({"n": 30})
        await calls.send({"n": 2})
        async for _ in calls.stream():
            break
        assert [value["n"] async for value in calls.stream()] == [0, 1]
        await calls.send({"n": 30})
        left = calls.stream()
        await anext(left)
        assert (await calls.run({"n": 1})).data.startswith('data: {"n":0}')
        assert calls.unanswered == 0
        with pytest.raises(RealtimeError, match="was skipped"):
            await anext(left)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_cancelled_recv_over_a_websocket_loses_nothing(
    fal: Session, emulator: Emulator, streamed: bool
) -> None:
    half, go_on = asyncio.Event(), asyncio.Event()

    @emulator.endpoint("me/slow")
    async def slow(input: Any) -> AsyncIterator[Any]:
        yield {"n": 0}
        half.set()
        await go_on.wait()
        yield {"n": 1}

    async with fal.websocket("me/slow/stream") as calls:
        await calls.send()
        receiving = asyncio.create_task(calls.recv())
        await half.wait()
        await asyncio.sleep(0)
        with pytest.raises(SessionStateError, match="another task"):
            await calls.recv()
        receiving.cancel()
        await asyncio.wait([receiving])
        go_on.set()
        if streamed:
            assert [value["n"] async for value in calls.stream()] == [0, 1]
        else:
            assert (await calls.recv()).data == 'data: {"n":0}\n\ndata: {"n":1}\n\n'


async def test_a_websocket_stream_cut_inside_an_event_raises_stream_error(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.truncate(on="websocket", events=2, cut="clean"))
    async with fal.websocket("me/count/stream") as calls:
        await calls.send({"n": 3})
        values = calls.stream()
        assert await anext(values) == {"n": 0}
        with pytest.raises(StreamError, match="middle of an event"):
            await anext(values)


async def test_files_of_a_call_over_a_websocket_are_uploaded_and_downloaded(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    async with fal.websocket("me/echo") as calls:
        result = await calls.run({"image": {"url": File(b"meow", file_name="cat.png")}})
        assert emulator.count("upload") == 1
        [path] = await result.download(tmp_path)
        assert (path.name, path.read_bytes()) == ("cat.png", b"meow")
        with pytest.raises(ResponseDecodeError) as caught:
            await calls.run({"m": 1}, output_type=Number)
        assert caught.value.request_id
        with pytest.raises(UploadError):
            await calls.send({"image": Path("/missing")})
        assert calls.unanswered == 0


async def test_an_impossible_output_type_is_refused_before_the_input_is_sent(fal: Session) -> None:
    async with fal.websocket("me/echo") as calls:
        for call in (calls.run({"n": 1}, output_type=bytes), calls.recv(output_type=bytes)):
            with pytest.raises(ConfigurationError, match="output_type=bytes"):
                await call
        assert calls.unanswered == 0


async def test_a_refused_stream_over_a_websocket_raises_and_keeps_the_connection(fal: Session) -> None:
    async with fal.websocket("me/echo") as calls:
        await calls.send({"fail": 1})
        with pytest.raises(ValidationError):
            await anext(calls.stream())
        assert (await calls.run({"n": 1})).data == {"n": 1}


async def test_a_websocket_that_closes_too_early_raises_with_the_missing_responses(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.close(taken=True, on="websocket"))
    async with fal.websocket("me/echo") as calls:
        await calls.send({"n": 1})
        await calls.send({"n": 2})
        assert (await calls.recv()).data == {"n": 1}
        with pytest.raises(RealtimeError, match=r"1 response\(s\) outstanding") as caught:
            await asyncio.wait_for(calls.recv(), 10)
    assert caught.value.code == 1006


async def test_refused_handshakes_and_wrong_use_of_a_websocket_raise_their_errors(fal: Session) -> None:
    with pytest.raises(NotFoundError):
        await fal.websocket("me/none").__aenter__()
    with pytest.raises(AuthenticationError):
        await fal.with_options(credentials="other:key").websocket("me/echo").__aenter__()
    calls = fal.websocket("me/echo")
    with pytest.raises(SessionStateError, match="not open"):
        await calls.send({})
    with pytest.raises(ConfigurationError):
        fal.websocket("nonsense")
    async with calls:
        with pytest.raises(ConfigurationError):
            await calls.send({"x": object()})
