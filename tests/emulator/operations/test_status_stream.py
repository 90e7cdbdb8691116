"""The status stream: an event on every change, each log entry only once (protocol 4.3)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from fal_async.emulator import Emulator, JobContext
from tests.emulator.caller import Caller, Reply, calling, lines_of, until
from tests.emulator.gate import Gate

Lines = AsyncIterator[str]


@asynccontextmanager
async def streaming(caller: Caller, submitted: Reply, logs: str = "1") -> AsyncIterator[Lines]:
    url = submitted.data["status_url"] + "/stream"
    headers = caller.with_headers(Accept="text/event-stream")
    async with caller.http.get(url, params={"logs": logs}, headers=headers) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        assert response.headers["x-fal-request-id"] == submitted.data["request_id"]
        yield lines_of(response)


def event(line: str) -> dict[str, Any]:
    assert line.startswith("data: ")
    document: dict[str, Any] = json.loads(line.removeprefix("data: "))
    return document


async def next_event(lines: Lines) -> dict[str, Any]:
    return event(await anext(lines))


async def test_a_status_stream_sends_new_logs_and_ends_after_completed(caller: Caller) -> None:
    first, steps = Gate(), asyncio.Queue[str]()
    caller.emulator.endpoint("me/gate", runners=1)(first)
    running = await caller.submit("me/gate")

    @caller.emulator.endpoint("me/talker", runners=1)
    async def talker(input: Any, job: JobContext) -> Any:
        while (word := await steps.get()) != "end":
            job.log(word)
        return {"ok": True}

    submitted = await caller.submit("me/talker")
    async with streaming(caller, submitted) as lines:
        assert (await next_event(lines))["status"] == "IN_PROGRESS"
        for word in ("one", "two"):
            await steps.put(word)
            update = await next_event(lines)
            assert [entry["message"] for entry in update["logs"]] == [word]
        await steps.put("end")
        last = await next_event(lines)
        assert (last["status"], last["logs"]) == ("COMPLETED", [])
        assert last["metrics"]["inference_time"] > 0
        # The end of the body is the only end mark.
        assert [line async for line in lines] == []
    await caller.cancel(running)


async def test_a_status_stream_of_a_waiting_request_reports_its_new_positions(caller: Caller) -> None:
    gate = Gate()
    caller.emulator.endpoint("me/gate", runners=1)(gate)
    _, second, third = [await caller.submit("me/gate", {"n": n}) for n in range(3)]
    async with streaming(caller, third) as lines:
        seen = await next_event(lines)
        assert (seen["status"], seen["queue_position"]) == ("IN_QUEUE", 1)
        assert "logs" not in seen
        await caller.cancel(second)
        assert (await next_event(lines))["queue_position"] == 0
        gate.open()
        states = [event(line)["status"] async for line in lines]
    assert states[-1] == "COMPLETED"


async def test_a_status_stream_without_logs_sends_null_for_them(caller: Caller) -> None:
    finished = await caller.submit("fal-ai/any-llm", {"prompt": "x"})
    await caller.reached(finished, "COMPLETED")
    async with streaming(caller, finished, logs="0") as lines:
        [only] = [event(line) async for line in lines]
    assert (only["status"], only["logs"]) == ("COMPLETED", None)


async def test_a_status_stream_of_an_ended_request_sends_all_logs_at_once(caller: Caller) -> None:
    finished = await caller.submit("fal-ai/flux/schnell", {"prompt": "x", "image_size": "square"})
    await caller.reached(finished, "COMPLETED")
    async with streaming(caller, finished) as lines:
        [only] = [event(line) async for line in lines]
    assert only["logs"] == (await caller.status(finished, "1")).data["logs"]


async def test_an_idle_status_stream_sends_keep_alive_comments() -> None:
    gate = Gate()
    async with calling(Emulator(keep_alive=0.01)) as caller:
        caller.emulator.endpoint("me/gate")(gate)
        submitted = await caller.submit("me/gate")
        async with streaming(caller, submitted) as lines:
            await next_event(lines)
            assert [await anext(lines) for _ in range(2)] == [": keep-alive"] * 2
            gate.open()
            rest = [line async for line in lines if not line.startswith(":")]
            assert [event(line)["status"] for line in rest] == ["COMPLETED"]


async def test_a_status_stream_stops_watching_when_its_client_leaves(caller: Caller) -> None:
    caller.emulator.endpoint("me/gate", runners=1)(Gate())
    await caller.submit("me/gate")
    waiting = await caller.submit("me/gate")
    job = caller.emulator.jobs[waiting.data["request_id"]]
    runners = caller.emulator._core.runners.of(job.served, job.account)
    async with streaming(caller, waiting) as lines:
        await next_event(lines)
        assert len(job.watchers) == len(runners.position_watchers) == 1
    await until(lambda: not job.watchers and not runners.position_watchers)


async def test_a_status_stream_ends_when_its_request_is_cancelled(caller: Caller) -> None:
    caller.emulator.endpoint("me/gate", runners=1)(Gate())
    submitted = await caller.submit("me/gate")
    async with streaming(caller, submitted) as lines:
        await next_event(lines)
        await caller.cancel(submitted)
        [last] = [event(line) async for line in lines]
    assert (last["status"], last["error_type"]) == ("COMPLETED", "client_cancelled")


async def test_a_restart_breaks_a_status_stream_but_not_its_request(caller: Caller) -> None:
    caller.emulator.endpoint("me/gate", runners=1)(Gate())
    submitted = await caller.submit("me/gate")
    async with streaming(caller, submitted) as lines:
        await next_event(lines)
        await caller.emulator.restart()
        with pytest.raises(aiohttp.ClientError):
            await anext(lines)
    assert (await caller.status(submitted)).data["status"] == "IN_PROGRESS"


async def test_a_realtime_token_in_the_query_opens_only_the_status_streams_of_its_app(caller: Caller) -> None:
    submitted = await caller.submit("fal-ai/any-llm", {"prompt": "the sea"})
    url = submitted.data["status_url"] + "/stream"
    for apps, status in ((["any-llm"], 200), (["other"], 401)):
        token = (await caller.call("POST", "/rest.fal.ai/tokens/", json={"allowed_apps": apps})).data
        assert (await caller.get(url, params={"fal_jwt_token": token}, headers={})).status == status
