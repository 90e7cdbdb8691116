"""The queue: runners, positions, time limits, retries by the platform (protocol 4.1, 4.2, 4.6, 4.7)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fal_async.emulator import Answer, Emulator, JobContext, ModelError
from tests.emulator.caller import Caller, Reply, calling
from tests.emulator.gate import Gate


async def submit_each(caller: Caller, count: int, **options: Any) -> list[Reply]:
    return [await caller.submit("me/gate", {"n": n}, **options) for n in range(count)]


async def positions(caller: Caller, submitted: list[Reply]) -> list[int | None]:
    return [(await caller.status(one)).data.get("queue_position") for one in submitted]


async def test_a_submit_is_answered_with_id_urls_and_queue_position(caller: Caller) -> None:
    gate = Gate()
    caller.emulator.endpoint("me/gate/with/path", runners=1)(gate)
    submitted = await caller.submit("me/gate/with/path", {"n": 1})
    request_id = submitted.data["request_id"]
    base = f"{caller.emulator.url}/queue.fal.run/me/gate/requests/{request_id}"
    assert submitted.status == 200
    assert submitted.headers["x-fal-request-id"] == request_id
    assert submitted.data == {
        "status": "IN_QUEUE",
        "request_id": request_id,
        "response_url": base,
        "status_url": f"{base}/status",
        "cancel_url": f"{base}/cancel",
        "queue_position": 0,
        "gateway_request_id": request_id,
    }
    job = caller.emulator.jobs[request_id]
    assert (job.endpoint_id, job.input, job.via) == ("me/gate/with/path", {"n": 1}, "queue")


async def test_two_requests_run_on_two_runners_and_the_others_wait_in_order(caller: Caller) -> None:
    gate = Gate()
    caller.emulator.endpoint("me/gate", runners=2)(gate)
    submitted = await submit_each(caller, 5)
    assert [one.data["queue_position"] for one in submitted] == [0, 0, 0, 1, 2]
    assert await positions(caller, submitted) == [None, None, 0, 1, 2]
    states = [(await caller.status(one)).data["status"] for one in submitted]
    assert states == ["IN_PROGRESS"] * 2 + ["IN_QUEUE"] * 3
    assert [(await caller.status(one)).status for one in submitted] == [202] * 5
    await caller.cancel(submitted[3])
    assert await positions(caller, [submitted[2], submitted[4]]) == [0, 1]
    gate.open()
    for one in submitted:
        await caller.reached(one, "COMPLETED")
    assert gate.started == [{"n": 0}, {"n": 1}, {"n": 2}, {"n": 4}]
    assert (await caller.status(submitted[4])).status == 200


async def test_a_busy_endpoint_does_not_occupy_the_runners_of_another(caller: Caller) -> None:
    gate, other = Gate(), Gate()
    caller.emulator.endpoint("me/gate", runners=1)(gate)
    caller.emulator.endpoint("me/other", runners=1)(other)
    await submit_each(caller, 2)
    submitted = await caller.submit("me/other")
    assert await caller.reached(submitted, "IN_PROGRESS") == "IN_PROGRESS"


async def test_a_low_priority_request_waits_behind_a_later_normal_one(caller: Caller) -> None:
    gate = Gate()
    caller.emulator.endpoint("me/gate", runners=1)(gate)
    low = caller.with_headers(X_Fal_Queue_Priority="low")
    await caller.submit("me/gate", {"n": "running"})
    last = await caller.submit("me/gate", {"n": "low"}, headers=low)
    assert last.data["queue_position"] == 0
    first = await caller.submit("me/gate", {"n": "normal"})
    assert await positions(caller, [first, last]) == [0, 1]
    gate.open()
    await caller.reached(last, "COMPLETED")
    assert [input["n"] for input in gate.started] == ["running", "normal", "low"]


async def test_a_direct_run_goes_ahead_of_the_queue(caller: Caller) -> None:
    gate = Gate()
    caller.emulator.endpoint("me/gate", runners=1)(gate)
    submitted = await submit_each(caller, 2)
    run = asyncio.create_task(caller.run("me/gate", {"n": "direct"}))
    await caller.emulator.wait_for("run")
    assert await positions(caller, submitted) == [None, 1]
    gate.open()
    assert (await run).data == {"n": "direct"}
    await caller.reached(submitted[1], "COMPLETED")
    assert [input["n"] for input in gate.started] == [0, "direct", 1]


async def test_a_submit_to_a_queue_longer_than_its_limit_is_refused_with_429(caller: Caller) -> None:
    caller.emulator.endpoint("me/gate", runners=1)(Gate())
    await submit_each(caller, 3)
    fits = await caller.call("POST", "/queue.fal.run/me/gate?fal_max_queue_length=2", json={})
    assert fits.status == 200
    refused = await caller.call("POST", "/queue.fal.run/me/gate?fal_max_queue_length=2", json={})
    assert (refused.status, refused.data) == (429, {"detail": "Queue is longer than 2"})
    assert len(caller.emulator.jobs) == 4


@pytest.mark.parametrize(
    "header", ["X-Fal-Request-Start-Timeout", "X-Fal-Request-Timeout"], ids=["new", "old"]
)
async def test_a_start_timeout_ends_waiting_requests_but_not_running_ones(
    caller: Caller, header: str
) -> None:
    caller.emulator.endpoint("me/gate", runners=1)(Gate())
    headers = caller.with_headers(**{header.replace("-", "_"): "0.11"})
    running, waiting = await submit_each(caller, 2, headers=headers)
    finished = await caller.finished(waiting)
    assert finished.data["error_type"] == "request_timeout"
    result = await caller.result(waiting)
    assert result.status == 504
    assert result.headers["X-Fal-Request-Timeout-Type"] == "user"
    assert result.headers["x-fal-billable-units"] == "0"
    # The limit does not apply to a request on which a runner works (4.6).
    assert (await caller.status(running)).data["status"] == "IN_PROGRESS"
    run = await caller.run("me/gate", {}, headers=headers)
    assert (run.status, run.headers["X-Fal-Request-Timeout-Type"]) == (504, "user")


async def test_a_malformed_start_timeout_is_a_bad_request(caller: Caller) -> None:
    headers = caller.with_headers(X_Fal_Request_Timeout="soon")
    refused = await caller.submit("fal-ai/any-llm", {"prompt": "x"}, headers=headers)
    assert (refused.status, refused.data["error_type"]) == (400, "bad_request")
    assert not caller.emulator.jobs


def serve_failing(emulator: Emulator, answer: Answer, times: int) -> list[int]:
    attempts: list[int] = []

    @emulator.endpoint("me/failing", runners=1)
    async def failing(input: Any, job: JobContext) -> Any:
        attempts.append(job.attempt)
        return answer if job.attempt <= times else {"attempt": job.attempt}

    return attempts


@pytest.mark.parametrize(
    ("answer", "retried"),
    [
        (Answer(503), True),
        (Answer(504), True),
        (Answer(500), False),
        (Answer(502), False),
        (Answer(429), False),
        (Answer(422), False),
        (Answer(500, {"x-fal-needs-retry": "1"}), True),
        (Answer(429, {"X-Fal-Needs-Retry": "true"}), True),
        (Answer(422, {"X-Fal-Needs-Retry": "1"}), False),
        (Answer(503, {"X-Fal-Needs-Retry": "0"}), False),
    ],
    ids=lambda value: (
        " ".join([str(value.status), *value.headers.values()]) if isinstance(value, Answer) else None
    ),
)
async def test_the_platform_retries_by_status_and_by_the_apps_needs_retry_header(
    caller: Caller, answer: Answer, retried: bool
) -> None:
    attempts = serve_failing(caller.emulator, answer, 2)
    submitted = await caller.submit("me/failing")
    await caller.reached(submitted, "COMPLETED")
    assert attempts == ([1, 2, 3] if retried else [1])
    result = await caller.result(submitted)
    assert result.status == (200 if retried else answer.status)
    job = caller.emulator.jobs[submitted.data["request_id"]]
    # Each attempt has its own gateway id; the request id stays the same (4.7).
    assert (job.gateway_request_id == job.request_id) != retried


@pytest.mark.parametrize(
    ("headers", "attempts"),
    [
        ({}, 10),
        ({"X_Fal_No_Retry": "1"}, 1),
        ({"X_Fal_Retry_Config": json.dumps({"server_error": {"retries": 2}})}, 3),
    ],
    ids=str,
)
async def test_the_platform_makes_ten_attempts_unless_the_caller_asks_for_fewer(
    caller: Caller, headers: dict[str, str], attempts: int
) -> None:
    made = serve_failing(caller.emulator, Answer(503), 99)
    submitted = await caller.submit("me/failing", headers=caller.with_headers(**headers))
    await caller.reached(submitted, "COMPLETED")
    assert len(made) == attempts
    assert (await caller.result(submitted)).status == 503


async def test_a_direct_run_is_never_retried_by_the_platform(caller: Caller) -> None:
    attempts = serve_failing(caller.emulator, Answer(503), 1)
    assert (await caller.run("me/failing", {})).status == 503
    assert attempts == [1]


async def test_a_request_between_two_attempts_is_in_the_queue_and_can_be_cancelled() -> None:
    async with calling(Emulator(retry_pause=3600)) as caller:
        serve_failing(caller.emulator, Answer(503), 1)
        submitted = await caller.submit("me/failing")
        # The request was started at once, so it waits for the second time now.
        await caller.reached(submitted, "IN_QUEUE")
        back = await caller.status(submitted)
        assert (back.data["status"], back.data["queue_position"]) == ("IN_QUEUE", 0)
        assert (await caller.cancel(submitted)).data == {"status": "OK"}
        assert (await caller.result(submitted)).status == 499


async def test_the_start_timeout_continues_after_a_failed_attempt() -> None:
    async with calling(Emulator(retry_pause=3600)) as caller:
        serve_failing(caller.emulator, Answer(503), 1)
        headers = caller.with_headers(X_Fal_Request_Start_Timeout="0.2")
        submitted = await caller.submit("me/failing", headers=headers)
        await caller.reached(submitted, "COMPLETED")
        assert (await caller.result(submitted)).headers["X-Fal-Request-Timeout-Type"] == "user"


async def test_an_exception_in_an_endpoint_is_a_500_and_kept_in_the_job(caller: Caller) -> None:
    broken = RuntimeError("broken")

    @caller.emulator.endpoint("me/broken")
    async def model(input: Any) -> Any:
        raise broken

    submitted = await caller.submit("me/broken")
    finished = await caller.finished(submitted)
    assert finished.data["error"] == "Internal Server Error"
    assert finished.data["error_type"] == "runner_server_error"
    result = await caller.result(submitted)
    assert (result.status, result.data) == (500, {"detail": "Internal Server Error"})
    assert caller.emulator.jobs[submitted.data["request_id"]].exception is broken


async def test_a_model_error_keeps_its_status_entries_and_headers(caller: Caller) -> None:
    entry = {"loc": ["body", "prompt"], "msg": "no", "type": "content_policy_violation"}

    @caller.emulator.endpoint("me/strict")
    async def model(input: Any) -> Any:
        raise ModelError(422, [entry], headers={"X-Fal-Retryable": "false"})

    submitted = await caller.submit("me/strict")
    finished = await caller.finished(submitted)
    assert finished.data["error"] == "Invalid status code: 422"
    assert finished.data["error_type"] == "content_policy_violation"
    result = await caller.result(submitted)
    assert (result.status, result.data) == (422, {"detail": [entry]})
    assert result.headers["X-Fal-Retryable"] == "false"
    assert result.headers["x-fal-billable-units"] == "0"
    assert result.headers["x-fal-request-id"] == submitted.data["request_id"]


async def test_requests_that_an_old_deployment_took_are_finished_by_the_old_one(caller: Caller) -> None:
    old, new = Gate(), Gate()
    caller.emulator.endpoint("me/gate", runners=1)(old)
    first = await caller.submit("me/gate", {"n": "old"})
    caller.emulator.endpoint("me/gate", runners=1)(new)
    new.open()
    second = await caller.submit("me/gate", {"n": "new"})
    await caller.reached(second, "COMPLETED")
    assert (await caller.status(first)).data["status"] == "IN_PROGRESS"
    old.open()
    await caller.reached(first, "COMPLETED")
    assert (old.started, new.started) == ([{"n": "old"}], [{"n": "new"}])


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from(["submit", "low", "run", "cancel", "finish"]), max_size=25), st.integers(1, 3)
)
def test_random_submits_cancels_and_ends_keep_the_queue_consistent(steps: list[str], runners: int) -> None:
    """Waiting requests have positions 0, 1, 2...; not more than `runners` run; each ends exactly once."""
    asyncio.run(play(steps, runners))


async def play(steps: list[str], runners: int) -> None:
    emulator, gates, direct = Emulator(builtins=False), list[asyncio.Event](), list[asyncio.Task[Reply]]()
    async with calling(emulator) as caller:

        @emulator.endpoint("me/gate", runners=runners)
        async def model(input: Any) -> Any:
            gates.append(opened := asyncio.Event())
            await opened.wait()
            return input

        for number, step in enumerate(steps):
            if step == "finish" and gates:
                gates.pop(0).set()
            elif step == "cancel" and emulator.jobs:
                job = list(emulator.jobs.values())[number % len(emulator.jobs)]
                await caller.call("PUT", f"/queue.fal.run/me/gate/requests/{job.request_id}/cancel")
            elif step == "run":
                direct.append(asyncio.create_task(caller.run("me/gate", number)))
                await emulator.wait_for("run", len(direct))
            elif step in ("submit", "low"):
                headers = caller.with_headers(X_Fal_Queue_Priority="low" if step == "low" else "normal")
                await caller.submit("me/gate", number, headers=headers)
            await asyncio.sleep(0)
            check_books(emulator, runners)
        await emulator.stop()
        await asyncio.gather(*direct, return_exceptions=True)
    assert {job.state for job in emulator.jobs.values()} <= {"COMPLETED"}
    assert sum(step in ("submit", "low", "run") for step in steps) == len(emulator.jobs)


def check_books(emulator: Emulator, runners: int) -> None:
    jobs = emulator.jobs.values()
    waiting = [job for job in jobs if job.state == "IN_QUEUE"]
    table = emulator._core.runners
    ahead = sorted(table.of(job.served, job.account).position(job) for job in waiting)
    assert ahead == list(range(len(waiting)))
    assert sum(job.state == "IN_PROGRESS" for job in jobs) <= runners
    assert all(job.started_at is not None for job in jobs if job.state == "IN_PROGRESS")
