"""`/_emulator/changes`: the page is notified of each change, and nothing is left when it is closed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from fal_async.emulator import Emulator, Fault, JobContext
from tests.emulator.caller import Caller, calling, lines_of, until
from tests.emulator.gate import Gate


@asynccontextmanager
async def changes(caller: Caller, **query: str) -> AsyncIterator[AsyncIterator[Any]]:
    async with caller.http.get(f"{caller.emulator.url}/_emulator/changes", params=query) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        async with aclosing(lines_of(answer)) as lines, aclosing(_overviews(lines)) as overviews:
            yield overviews


async def _overviews(lines: AsyncIterator[str]) -> AsyncGenerator[Any, None]:
    async for line in lines:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def seen(overviews: AsyncIterator[Any], condition: Any) -> Any:
    async with asyncio.timeout(5):
        async for overview in overviews:
            if condition(overview):
                return overview
    raise AssertionError("the stream has ended")


async def test_the_page_is_sent_queues_with_runners_and_positions_as_they_change(caller: Caller) -> None:
    caller.emulator.endpoint("me/gate", runners=1)(Gate())
    async with changes(caller) as overviews:
        assert (await seen(overviews, lambda _: True))["queues"] == []
        submitted = [await caller.submit("me/gate", {"prompt": f"n{number}"}) for number in range(3)]
        now = await seen(overviews, lambda overview: overview["jobs"]["queued"] == 2)
        [queue] = now["queues"]
        assert (queue["endpoint_id"], queue["runners"], queue["busy"]) == ("me/gate", 1, 1)
        assert [job["summary"] for job in queue["running"]] == ["n0"]
        assert [job["request_id"] for job in queue["next"]] == [
            one.data["request_id"] for one in submitted[1:]
        ]
        caller.emulator.faults.add(Fault.reset(times=3))
        faults = (await seen(overviews, lambda overview: overview["faults"]))["faults"]
        assert [(one["fault"]["kind"], one["left"], one["skip"]) for one in faults] == [("reset", 3, 0)]


async def test_the_logs_of_a_watched_job_are_noticed(caller: Caller) -> None:
    logged, go_on = asyncio.Event(), asyncio.Event()

    @caller.emulator.endpoint("me/logs")
    async def logs(input: Any, job: JobContext) -> Any:
        await go_on.wait()
        job.log("one")
        logged.set()
        await asyncio.Event().wait()

    submitted = await caller.submit("me/logs")
    async with changes(caller, job=submitted.data["request_id"]) as overviews:
        assert (await seen(overviews, lambda _: True))["watched"][2] == 0
        go_on.set()
        assert (await seen(overviews, lambda overview: overview["watched"][2]))["watched"][0] == "IN_PROGRESS"


async def test_nothing_is_left_of_a_stream_that_the_page_has_closed(caller: Caller) -> None:
    caller.emulator.endpoint("me/gate")(Gate())
    submitted = await caller.submit("me/gate")
    job = caller.emulator.jobs[submitted.data["request_id"]]
    async with changes(caller, job=job.request_id) as overviews:
        await seen(overviews, lambda _: True)
        assert len(job.watchers) == 1
    await until(lambda: not job.watchers)


async def test_an_emulator_stops_while_a_page_is_open(caller: Caller) -> None:
    async with changes(caller) as overviews:
        await seen(overviews, lambda _: True)
        await caller.emulator.stop()


async def test_the_page_is_sent_the_virtual_time_whenever_it_has_moved() -> None:
    async with calling(Emulator(clock="manual")) as caller, changes(caller) as overviews:
        first = await seen(overviews, lambda _: True)
        assert (first["clock"], first["now"]) == (
            {"kind": "manual", "virtual": caller.emulator.now},
            caller.emulator.now,
        )
        await caller.emulator.advance(60)
        moved = await seen(overviews, lambda overview: overview["now"] > first["now"])
        assert moved["now"] == first["now"] + 60


async def test_the_page_is_told_that_the_time_is_real(caller: Caller) -> None:
    async with changes(caller) as overviews:
        assert (await seen(overviews, lambda _: True))["clock"] == {"kind": "real", "virtual": None}
