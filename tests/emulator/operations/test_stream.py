"""Streams of the emulator, as a plain HTTP client sees them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import aiohttp
import pytest

from fal_async.emulator import Emulator, Event, Fault, JobContext, ModelError
from fal_async.emulator.wire.sse import encode, whole
from tests.emulator.caller import Caller


@pytest.fixture(autouse=True)
def models(emulator: Emulator) -> None:
    @emulator.endpoint("me/count")
    async def count(input: Any) -> AsyncIterator[Any]:
        for number in range(input.get("n", 3)):
            yield {"number": number, "name": "é😀"}

    @emulator.endpoint("me/plain")
    async def plain(input: Any) -> Any:
        return input


async def body_of(caller: Caller, path: str, input: Any = None) -> tuple[aiohttp.ClientResponse, bytes]:
    """Return the response and the body as far as it arrived, marked with <cut> if it broke off."""
    headers = caller.with_headers(Accept="text/event-stream")
    url = f"{caller.emulator.url}/fal.run/{path}"
    got = b""
    async with caller.http.post(url, json=input or {}, headers=headers) as response:
        try:
            async for chunk in response.content.iter_any():
                got += chunk
        except aiohttp.ClientPayloadError:
            got += b"<cut>"
    return response, got


def data_of(body: bytes) -> list[Any]:
    return [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: ")]


async def test_the_values_of_a_generator_are_sent_as_events(caller: Caller) -> None:
    response, body = await body_of(caller, "me/count/stream", {"n": 2})
    assert (response.status, response.content_type) == (200, "text/event-stream")
    assert body.decode() == "".join(f'data: {{"number":{n},"name":"é😀"}}\n\n' for n in range(2))
    job = caller.emulator.jobs[response.headers["x-fal-request-id"]]
    assert (job.via, job.state, job.endpoint_id) == ("stream", "COMPLETED", "me/count")
    assert caller.emulator.requests[0].kind == "stream"


async def test_a_generator_called_directly_or_queued_returns_its_last_value(caller: Caller) -> None:
    assert (await caller.run("me/count", {})).data["number"] == 2
    submitted = await caller.submit("me/count")
    await caller.finished(submitted)
    assert (await caller.result(submitted)).data["number"] == 2


async def test_a_stream_path_is_served_only_for_models_that_stream(caller: Caller) -> None:
    assert (await caller.run("me/plain/stream", {})).status == 404
    assert (await caller.run("me/nothing/stream", {})).data["detail"] == "Application 'nothing' not found"
    accepted = await caller.run("me/plain", {"a": 1}, headers=caller.with_headers(Accept="text/event-stream"))
    assert accepted.data == {"a": 1}


async def test_a_stream_of_a_generator_without_values_has_an_empty_body(caller: Caller) -> None:
    response, body = await body_of(caller, "me/count/stream", {"n": 0})
    assert (response.status, body) == (200, b"")


async def test_bytes_are_chunks_of_a_binary_body(caller: Caller) -> None:
    @caller.emulator.endpoint("me/bytes")
    async def pieces(input: Any) -> AsyncIterator[bytes]:
        yield b"\x00one"
        yield b"two\xff"

    response, body = await body_of(caller, "me/bytes/stream")
    assert (response.content_type, body) == ("application/octet-stream", b"\x00onetwo\xff")
    assert (await caller.run("me/bytes", {})).body == b"\x00onetwo\xff"


async def test_an_event_is_sent_with_its_type_id_retry_and_comment(caller: Caller) -> None:
    @caller.emulator.endpoint("me/rich")
    async def rich(input: Any) -> AsyncIterator[Event]:
        yield Event("a\nb", event="e", id="7", retry=10, comment="hello")
        yield Event("[DONE]")

    _, body = await body_of(caller, "me/rich/stream")
    assert body == b": hello\nevent: e\nid: 7\nretry: 10\ndata: a\ndata: b\n\ndata: [DONE]\n\n"
    assert encode(Event(comment="only")) == b": only\n\n"
    assert whole([]) is None
    assert whole([Event('{"a":1}')]) == {"a": 1}


async def test_an_idle_stream_is_kept_alive_by_comments() -> None:
    async with Emulator(keep_alive=0.02) as emulator, aiohttp.ClientSession() as http:
        go_on = asyncio.Event()

        @emulator.endpoint("me/slow")
        async def slow(input: Any) -> AsyncIterator[int]:
            yield 1
            await go_on.wait()
            yield 2

        headers = {"Authorization": f"Key {emulator.key}"}
        async with http.post(f"{emulator.url}/me/slow/stream", json={}, headers=headers) as response:
            assert await response.content.readuntil(b"\n\n") == b"data: 1\n\n"
            assert await response.content.readuntil(b"\n\n") == b": keep-alive\n\n"
            go_on.set()
            assert (await response.content.read()).endswith(b"data: 2\n\n")


async def test_an_error_before_the_first_value_is_an_ordinary_answer(caller: Caller) -> None:
    @caller.emulator.endpoint("me/strict")
    async def strict(input: Any) -> AsyncIterator[int]:
        raise ModelError(422, [{"loc": ["body"], "msg": "no", "type": "value_error"}])
        yield 1

    refused = await caller.run("me/strict/stream", {})
    assert (refused.status, refused.data["detail"][0]["msg"]) == (422, "no")
    bad = await caller.call("POST", "/me/strict/stream", data=b"{")
    assert bad.status == 422
    assert (await caller.run("me/count/stream", {}, headers={})).status == 401


async def test_a_failure_after_the_first_value_cuts_the_body(caller: Caller) -> None:
    @caller.emulator.endpoint("me/breaks")
    async def breaks(input: Any) -> AsyncIterator[int]:
        yield 1
        raise ModelError(500, "gone")

    response, body = await body_of(caller, "me/breaks/stream")
    assert (response.status, body) == (200, b"data: 1\n\n<cut>")


async def test_a_streaming_model_is_stopped_when_its_caller_leaves(caller: Caller) -> None:
    left = asyncio.Event()

    @caller.emulator.endpoint("me/endless")
    async def endless(input: Any, job: JobContext) -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            left.set()

    response = await caller.http.post(
        f"{caller.emulator.url}/me/endless/stream", json={}, headers=caller.with_headers()
    )
    await response.content.readany()
    response.close()
    await asyncio.wait_for(left.wait(), 5)


EVENT = b'data: {"number":0,"name":"\xc3\xa9\xf0\x9f\x98\x80"}\n\n'


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.truncate(on="stream"), EVENT[: len(EVENT) // 2] + b"<cut>"),
        (Fault.truncate(cut="character", on="stream"), EVENT[: EVENT.index(b"\xc3") + 1] + b"<cut>"),
        (Fault.truncate(cut="clean", on="stream"), EVENT[: len(EVENT) // 2]),
        (Fault.close(taken=True, on="stream"), EVENT + b"<cut>"),
        (Fault.wrong_json("nonsense", on="stream"), b"data: nonsense\n\n"),
        (Fault.event(event_type="error", body="x", on="stream"), EVENT + b"event: error\ndata: x\n\n"),
        (Fault.event("[DONE]", events=0, on="stream"), b"data: [DONE]\n\n" + EVENT),
        (Fault.event(on="stream"), EVENT + b"data: \n\n"),
        (Fault.duplicate(on="stream"), EVENT + EVENT),
        (Fault.drip(0.0001, on="stream"), EVENT),
        (Fault.stall(0.01, where="body", on="stream"), EVENT),
        (Fault.stall(0.01, on="stream"), EVENT),
        (Fault.missing("name", on="stream"), b'data: {"number":0}\n\n'),
    ],
    ids=[
        "truncate in the event",
        "truncate in a character",
        "truncate with a clean end",
        "close",
        "wrong_json",
        "event with a type",
        "event before the first",
        "empty event",
        "duplicate",
        "drip",
        "stall in the body",
        "stall before the headers",
        "missing",
    ],
)
async def test_a_fault_on_stream_changes_the_body_as_described(
    caller: Caller, fault: Fault, expected: bytes
) -> None:
    caller.emulator.faults.add(fault)
    response, body = await body_of(caller, "me/count/stream", {"n": 1})
    assert (response.status, body) == (200, expected)


async def test_a_truncate_fault_with_events_3_breaks_off_in_the_third_event(caller: Caller) -> None:
    caller.emulator.faults.add(Fault.truncate(events=3, on="stream"))
    _, body = await body_of(caller, "me/count/stream")
    assert body.count(b"\n\n") == 2
    assert body.endswith(b"<cut>")
    assert not body.endswith(b"\n\n<cut>")


async def test_a_truncate_fault_with_events_0_ends_a_stream_after_its_headers(caller: Caller) -> None:
    caller.emulator.faults.add(Fault.truncate(events=0, on="stream"))
    response, body = await body_of(caller, "me/count/stream")
    assert (response.status, body) == (200, b"<cut>")


@pytest.mark.parametrize("events", [1, 2])
async def test_events_counts_whole_events_for_close_and_names_the_broken_one_for_truncate(
    caller: Caller, events: int
) -> None:
    caller.emulator.faults.add(
        Fault.close(events=events, taken=True, on="stream"), Fault.truncate(events=events, on="stream")
    )
    closed = (await body_of(caller, "me/count/stream"))[1]
    truncated = (await body_of(caller, "me/count/stream"))[1]
    assert (closed.count(b"\n\n"), closed[-7:]) == (events, b"\n\n<cut>")
    assert truncated.count(b"\n\n") == events - 1
    assert not truncated.endswith(b"\n\n<cut>")


async def test_faults_on_stream_can_replace_the_answer_its_type_or_reset_it(caller: Caller) -> None:
    caller.emulator.faults.add(
        Fault.answer(403, on="stream"), Fault.html(200, on="stream"), Fault.content_type("a/b", on="stream")
    )
    assert (await caller.run("me/count/stream", {})).status == 403
    assert (await caller.run("me/count/stream", {})).headers["Content-Type"] == "text/html"
    assert (await body_of(caller, "me/count/stream"))[0].content_type == "a/b"
    caller.emulator.faults.add(Fault.reset(on="stream"))
    with pytest.raises(aiohttp.ClientError):
        await body_of(caller, "me/count/stream")


async def test_a_realtime_token_in_the_query_opens_only_the_stream_that_it_names(caller: Caller) -> None:
    wanted = {"allowed_apps": ["count"], "token_expiration": 60}
    token = (await caller.call("POST", "/rest.fal.ai/tokens/", json=wanted)).data
    opened = await caller.call("POST", f"/me/count/stream?fal_jwt_token={token}", json={}, headers={})
    assert opened.status == 200
    other = await caller.call("POST", f"/me/other/stream?fal_jwt_token={token}", json={}, headers={})
    assert other.status == 401


async def test_the_built_in_text_model_writes_word_by_word(caller: Caller) -> None:
    _, body = await body_of(caller, "fal-ai/any-llm/stream", {"prompt": "the sea"})
    events = data_of(body)
    assert len(events) > 10
    assert [event["partial"] for event in events] == [True] * (len(events) - 1) + [False]
    assert all(b["output"].startswith(a["output"]) for a, b in pairwise(events))
    assert (await caller.run("fal-ai/any-llm", {"prompt": "the sea"})).data == events[-1]
