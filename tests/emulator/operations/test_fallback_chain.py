"""Fallback chains, `POST fal.run/execute` (protocol 3.5)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fal_async import (
    ConfigurationError,
    RateLimitError,
    ServerError,
    Session,
    SubmissionUncertainError,
    ValidationError,
)
from fal_async.emulator import Emulator, Fault, ModelError
from tests.emulator.caller import Caller, until
from tests.emulator.gate import Gate

BUSY = {"endpoint": "me/gate", "config": {"start_timeout_seconds": 0.2}}


@pytest.fixture(autouse=True)
async def models(emulator: Emulator) -> Gate:
    gate = Gate()
    emulator.endpoint("me/gate", runners=1)(gate)

    @emulator.endpoint("me/good", price="0.5")
    async def good(input: Any) -> Any:
        return {"good": input}

    @emulator.endpoint("me/failing")
    async def failing(input: dict[str, Any]) -> Any:
        raise ModelError(input["status"], "Failed", input.get("type"))

    return gate


def failing(status: int, **more: Any) -> dict[str, Any]:
    return {"endpoint": "me/failing", "input": {"status": status}, **more}


async def test_the_primary_model_answers_if_it_succeeds(caller: Caller) -> None:
    body = {"endpoint": "me/good", "input": {"a": 1}, "fallback": [failing(500)]}
    reply = await caller.run("execute", body)
    assert (reply.status, reply.data["output"], reply.data["endpoint"]) == (
        200,
        {"good": {"a": 1}},
        "me/good",
    )
    [attempt] = reply.data["attempts"]
    assert (attempt["status"], attempt["request_id"]) == (200, reply.headers["x-fal-request-id"])
    assert reply.headers["x-fal-billable-units"] == "1"
    assert len(caller.emulator.jobs) == 1


async def test_a_fallback_answers_if_the_primary_model_does_not_start_in_time(caller: Caller) -> None:
    held = await caller.submit("me/gate")
    await caller.reached(held, "IN_PROGRESS")
    body = {**BUSY, "input": {"a": 1}, "fallback": {"endpoint": "me/good", "input": {"b": 2}}}
    reply = await caller.run("execute", body)
    assert reply.data["output"] == {"good": {"b": 2}}
    first, second = reply.data["attempts"]
    assert (first["endpoint"], first["status"], first["error_type"]) == ("me/gate", 504, "request_timeout")
    assert (second["endpoint"], second["status"]) == ("me/good", 200)


@pytest.mark.parametrize(
    ("primary", "on", "leads_on"),
    [
        (failing(500), None, True),
        (failing(504), None, True),
        (failing(422), None, False),
        (failing(429), None, False),
        (failing(422), ["policy"], True),
        (failing(500), ["timeout"], False),
        (failing(504), ["timeout"], True),
        (failing(429), [429], True),
        (failing(400), "400", True),
        ({"endpoint": "me/failing", "input": {"status": 422, "type": "nsfw"}}, ["nsfw"], True),
    ],
)
async def test_a_failure_leads_to_a_fallback_only_for_the_errors_of_that_fallback(
    caller: Caller, primary: dict[str, Any], on: Any, leads_on: bool
) -> None:
    fallback = {"endpoint": "me/good", "input": {}} | ({} if on is None else {"on": on})
    reply = await caller.run("execute", {**primary, "fallback": [fallback]})
    assert [attempt["endpoint"] for attempt in reply.data["attempts"]] == ["me/failing", "me/good"][
        : 1 + leads_on
    ]
    assert reply.status == (200 if leads_on else primary["input"]["status"])


async def test_the_last_failure_is_answered_with_all_attempts_if_every_model_fails(caller: Caller) -> None:
    body = {**failing(500), "fallback": [failing(503), failing(502)]}
    reply = await caller.run("execute", body)
    assert (reply.status, reply.data["detail"]) == (502, "Failed")
    assert [attempt["status"] for attempt in reply.data["attempts"]] == [500, 503, 502]


@pytest.mark.parametrize(
    ("body", "status", "place"),
    [
        ([], 422, ["body"]),
        ({}, 422, ["body", "endpoint"]),
        ({"endpoint": "me/good", "fallback": [failing(500)] * 3}, 422, ["body", "fallback"]),
        ({"endpoint": "me/good", "fallback": ["me/good"]}, 422, ["body", "fallback", 0, "endpoint"]),
        ({"endpoint": "me/good", "config": {"start": "soon"}}, 422, ["body", "config", "start"]),
        ({"endpoint": "me/good", "fallback": [{"endpoint": "me/good", "on": 3.5}]}, 422, None),
        ({"endpoint": "me/good", "fallback": [{"endpoint": "me/unknown"}]}, 404, None),
    ],
)
async def test_a_chain_that_cannot_be_run_is_refused_before_anything_is_paid(
    caller: Caller, body: Any, status: int, place: Any
) -> None:
    reply = await caller.run("execute", body)
    assert reply.status == status
    assert place is None or reply.data["detail"][0]["loc"] == place
    assert not caller.emulator.jobs
    assert (await caller.get("/fal.run/execute")).status == 405


async def test_a_running_attempt_is_stopped_when_the_caller_disconnects(caller: Caller) -> None:
    calling = asyncio.create_task(caller.run("execute", {"endpoint": "me/gate", "input": {}}))
    await until(lambda: caller.emulator.accounts["emulator"].running == 1)
    calling.cancel()
    [job] = caller.emulator.jobs.values()
    assert await job.wait_for("COMPLETED", timeout=5) == "COMPLETED"
    assert job.error_type == "client_disconnected"
    assert len(caller.emulator.jobs) == 1


# With this package's client.


async def test_the_client_sends_a_chain_as_it_is_and_returns_the_whole_answer(emulator: Emulator) -> None:
    async with Session(emulator.key, hosts=emulator.hosts) as fal:
        chain = {**failing(500), "fallback": [{"endpoint": "me/good", "input": {}}], "unknown": [1]}
        result = await fal.run("execute", chain, tags={"team": "a"})
        assert result.data["output"] == {"good": {}}
        assert len(result.data["attempts"]) == 2
        with pytest.raises(ValidationError):
            await fal.run("execute", {}, check="required")
        # A choice of the request applies to its first model.
        good = {"endpoint": "me/good", "input": {}}
        again = await fal.run("execute", {**good, "fallback": good, "__emulator__": "fail=500"})
        assert [attempt["status"] for attempt in again.data["attempts"]] == [500, 200]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.answer(429, on="run", retry_after=0), RateLimitError),
        (Fault.html(503, on="run"), SubmissionUncertainError),
        (Fault.answer(503, on="run", needs_retry=True), ServerError),
        (Fault.reset(on="run"), SubmissionUncertainError),
    ],
)
async def test_a_chain_is_never_sent_again_after_it_has_left(
    emulator: Emulator, fault: Fault, error: type[Exception]
) -> None:
    emulator.faults.add(fault)
    async with Session(emulator.key, hosts=emulator.hosts) as fal:
        with pytest.raises(error):
            await fal.run("execute", {"endpoint": "me/good", "input": {}})
    assert emulator.count("run") == 1


async def test_only_a_plain_run_accepts_a_chain(emulator: Emulator) -> None:
    async with Session(emulator.key, hosts=emulator.hosts) as fal:
        with pytest.raises(ConfigurationError, match="has no path="):
            await fal.run("execute", {}, path="x")
        with pytest.raises(ConfigurationError, match="POST"):
            await fal.run("execute", {}, method="GET")
        for call in (fal.subscribe("execute", {}), fal.queue.submit("execute", {})):
            with pytest.raises(ConfigurationError, match="endpoint id"):
                await call
        with pytest.raises(ConfigurationError, match="endpoint id"):
            fal.stream("execute", {})
    assert not emulator.requests
