"""States by number of status requests: each look moves a request on, and nothing else does."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

import pytest

from fal_async import InProgress, Queued, QueueStatus, Session
from fal_async.emulator import Answer, Emulator, Fault, JobContext, ModelError, Polls
from fal_async.emulator.timing.clock import ClockKind
from tests.emulator.caller import Caller, Reply, calling, lines_of
from tests.servers.receiver import receiving

MODEL = "me/model"


def serve(emulator: Emulator, polls: Polls, **options: Any) -> None:
    @emulator.endpoint(MODEL, polls=polls, **options)
    async def model(input: Any, job: JobContext) -> Any:
        job.log("begins")
        await job.sleep(600)
        job.log("ends")
        return {"input": input}


def shown(document: Any) -> str:
    """Return a status as a word: with the position, or the number of log lines."""
    if document["status"] == "IN_QUEUE":
        return f"IN_QUEUE {document['queue_position']}"
    return f"{document['status']} {len(document['logs'])}"


async def looks(caller: Caller, submitted: Reply, count: int) -> list[str]:
    return [shown((await caller.status(submitted, logs="1")).data) for _ in range(count)]


async def events(caller: Caller, submitted: Reply) -> list[str]:
    url, headers = submitted.data["status_url"] + "/stream", caller.with_headers()
    async with caller.http.get(url, params={"logs": "1"}, headers=headers) as response:
        return [shown(json.loads(line.removeprefix("data: "))) async for line in lines_of(response)]


@pytest.mark.parametrize("clock", ["real", "auto", "manual"])
async def test_each_status_request_sees_the_next_state_with_every_clock(clock: ClockKind) -> None:
    emulator = Emulator(clock=clock)
    serve(emulator, Polls(queued=2, running=2))
    async with calling(emulator) as caller:
        submitted = await caller.submit(MODEL, {"n": 1})
        assert submitted.data["queue_position"] == 2
        states = ["IN_QUEUE 1", "IN_QUEUE 0", "IN_PROGRESS 2", "IN_PROGRESS 2", "COMPLETED 2", "COMPLETED 2"]
        assert await looks(caller, submitted, 6) == states
        assert (await caller.result(submitted)).data == {"input": {"n": 1}}


@pytest.mark.parametrize("mode", ["polling", "streaming", "auto"])
async def test_a_subscriber_gets_exactly_the_updates_of_the_sequence(
    mode: Literal["polling", "streaming", "auto"],
) -> None:
    seen: list[str] = []

    def note(status: QueueStatus) -> None:
        if isinstance(status, Queued):
            seen.append(f"queued {status.position}")
        else:
            seen.append("running" if isinstance(status, InProgress) else "done")

    async with Emulator() as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:
        serve(emulator, Polls(queued=2, running=1))
        result = await fal.subscribe(MODEL, {"n": 1}, on_queue_update=note, mode=mode, poll_interval=0.01)
        assert seen == ["queued 1", "queued 0", "running", "done"]
        assert result.data == {"input": {"n": 1}}


async def test_each_event_of_a_status_stream_counts_like_a_status_request(caller: Caller) -> None:
    serve(caller.emulator, Polls(queued=2, running=3))
    submitted = await caller.submit(MODEL)
    assert await looks(caller, submitted, 1) == ["IN_QUEUE 1"]
    states = ["IN_QUEUE 0", "IN_PROGRESS 2", "IN_PROGRESS 0", "IN_PROGRESS 0", "COMPLETED 0"]
    assert await events(caller, submitted) == states


async def test_neither_results_nor_the_page_nor_failed_looks_count(caller: Caller) -> None:
    serve(caller.emulator, Polls(queued=1, running=0))
    submitted = await caller.submit(MODEL)
    assert (await caller.result(submitted)).status == 400
    request_id = submitted.data["request_id"]
    assert (await caller.get(f"/_emulator/jobs/{request_id}")).data["state"] == "queued"
    caller.emulator.faults.add(Fault.answer(503, on="status"))
    assert (await caller.status(submitted)).status == 503
    other = caller.emulator.add_account("other:key")
    refused = await caller.get(submitted.data["status_url"], headers={"Authorization": f"Key {other.key}"})
    assert refused.status == 404
    assert await looks(caller, submitted, 2) == ["IN_QUEUE 0", "COMPLETED 2"]


async def test_requests_neither_wait_for_each_other_nor_for_a_runner() -> None:
    emulator = Emulator(clock="auto", concurrency=1)
    serve(emulator, Polls(queued=0, running=1), runners=1)
    async with calling(emulator) as caller:
        submits = [await caller.submit(MODEL, {"n": n}) for n in range(3)]
        assert [await looks(caller, one, 1) for one in submits] == [["IN_PROGRESS 2"]] * 3
        began = emulator.now
        assert (await caller.run(MODEL, {"n": 3})).data == {"input": {"n": 3}}
        assert emulator.now - began == pytest.approx(600)  # it is not polled, so that its sleep takes time
        assert [await looks(caller, one, 1) for one in submits] == [["COMPLETED 2"]] * 3


@pytest.mark.parametrize(("before", "answer"), [(1, (200, "OK")), (2, (202, "CANCELLATION_REQUESTED"))])
async def test_a_cancel_ends_the_sequence_in_each_state(
    caller: Caller, before: int, answer: tuple[int, str]
) -> None:
    serve(caller.emulator, Polls(queued=1, running=5))
    submitted = await caller.submit(MODEL)
    await looks(caller, submitted, before)
    cancelled = await caller.cancel(submitted)
    assert (cancelled.status, cancelled.data["status"]) == answer
    status = await caller.status(submitted)
    assert (status.data["status"], status.data["error_type"]) == ("COMPLETED", "client_cancelled")
    assert (await caller.cancel(submitted)).status == 400


async def test_a_request_that_ignores_the_cancel_goes_through_its_sequence(caller: Caller) -> None:
    serve(caller.emulator, Polls(queued=0, running=2), ignores_cancel=True)
    submitted = await caller.submit(MODEL)
    assert await looks(caller, submitted, 1) == ["IN_PROGRESS 2"]
    assert (await caller.cancel(submitted)).status == 202
    assert await looks(caller, submitted, 2) == ["IN_PROGRESS 2", "COMPLETED 2"]
    assert (await caller.result(submitted)).status == 200


async def test_a_failure_is_seen_only_after_the_looks_that_see_it_running(caller: Caller) -> None:
    @caller.emulator.endpoint(MODEL, polls=Polls(queued=0, running=2))
    async def model(input: Any) -> Any:
        raise ModelError(422, "no")

    submitted = await caller.submit(MODEL)
    states = [(await caller.status(submitted)).data for _ in range(3)]
    assert [state["status"] for state in states] == ["IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]
    assert states[-1]["error"] == "no"


async def test_a_retried_request_begins_its_sequence_again(caller: Caller) -> None:
    @caller.emulator.endpoint(MODEL, polls=Polls(queued=1, running=1))
    async def model(input: Any, job: JobContext) -> Any:
        return Answer(503) if job.attempt == 1 else {}

    submitted = await caller.submit(MODEL)
    states = ["IN_QUEUE 0", "IN_PROGRESS 0", "IN_QUEUE 0", "IN_PROGRESS 0", "COMPLETED 0"]
    assert await looks(caller, submitted, 5) == states


@pytest.mark.parametrize("by_stream", [False, True])
async def test_completed_waits_for_a_function_that_waits_for_the_test(
    caller: Caller, by_stream: bool
) -> None:
    release = asyncio.Event()

    @caller.emulator.endpoint(MODEL, polls=Polls(queued=0, running=1))
    async def model(input: Any, job: JobContext) -> Any:
        await job.wait_for(release.wait())
        return {}

    submitted = await caller.submit(MODEL)
    assert await looks(caller, submitted, 3) == ["IN_PROGRESS 0"] * 3
    if by_stream:
        following = asyncio.create_task(events(caller, submitted))
        await caller.emulator.wait_for("status_stream")
        release.set()
        assert await following == ["IN_PROGRESS 0", "COMPLETED 0"]
    else:
        release.set()
        assert await looks(caller, submitted, 1) == ["COMPLETED 0"]


async def test_a_webhook_is_sent_when_the_last_look_has_completed_the_request(caller: Caller) -> None:
    serve(caller.emulator, Polls(queued=1, running=1))
    async with receiving() as receiver:
        query = {"fal_webhook": receiver.url}
        submitted = await caller.submit(MODEL, {}, params=query)
        assert await looks(caller, submitted, 2) == ["IN_QUEUE 0", "IN_PROGRESS 2"]
        assert caller.emulator.webhooks.attempts == []
        assert await looks(caller, submitted, 1) == ["COMPLETED 2"]
        await caller.emulator.webhooks.wait_for(1)


async def test_an_emulator_ends_while_requests_wait_for_their_next_look() -> None:
    emulator = Emulator()
    serve(emulator, Polls(queued=1, running=1))
    async with calling(emulator) as caller:
        for count in (0, 1, 2):
            await looks(caller, await caller.submit(MODEL), count)
    assert {job.state for job in emulator.jobs.values()} == {"COMPLETED"}


@pytest.mark.parametrize("count", [-1, True, 1.5, "2", None])
def test_polls_refuse_a_count_that_is_not_a_number_of_looks(count: Any) -> None:
    with pytest.raises(ValueError, match=r"Polls\(queued=.*\): expected an int >= 0"):
        Polls(queued=count)
