"""fal's own Python client, unchanged, works with the emulator as with fal."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fal_async.emulator import Emulator, JobContext
from tests.emulator.certificates import authority, server_side

Scenario = Callable[[str], Awaitable[Any]]
STEPS = 5
LIMIT = 45.0
"""Seconds after which the test fails instead of hanging; not a measurement."""


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(speed=50, ssl=server_side()) as emulator:
        yield emulator


@pytest.fixture
def outcome(emulator: Emulator, tmp_path: Path) -> Scenario:
    trusted = tmp_path / "ca.pem"
    authority().cert_pem.write_to_path(str(trusted))
    environment = {**os.environ, "FAL_KEY": emulator.key, "SSL_CERT_FILE": str(trusted)}

    async def play(name: str) -> Any:
        arguments = ("-m", "tests.emulator.outside_client", emulator.url.rpartition(":")[2], name)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), LIMIT)
        assert process.returncode == 0, err.decode()
        return json.loads(out)

    return play


def serve_staged(emulator: Emulator) -> None:
    """Serve a model that waits in each step until its log line is requested, so that the client sees every step."""

    @emulator.endpoint("me/staged", runners=1)
    async def staged(input: Any, job: JobContext) -> Any:
        for step in range(STEPS):
            job.log(f"step {step}", "STDOUT")
            await emulator.wait_for("status", emulator.count("status") + 2)
        return {"done": input["n"]}


async def test_fal_client_runs_a_model_on_the_emulator(emulator: Emulator, outcome: Scenario) -> None:
    assert "a cat" in (await outcome("run"))["output"]
    assert emulator.requests[0].kind == "run"


@pytest.mark.parametrize(("name", "number"), [("subscribe", 1), ("subscribe_async", 2)])
async def test_fal_client_subscribes_and_sees_updates_with_all_logs(
    emulator: Emulator, outcome: Scenario, name: str, number: int
) -> None:
    serve_staged(emulator)
    seen = await outcome(name)
    assert seen["data"] == {"done": number}
    *before, last = seen["updates"]
    assert {update["kind"] for update in before} == {"InProgress"}
    assert last["kind"] == "Completed"
    assert last["metrics"]["inference_time"] > 0
    assert [entry["message"] for entry in last["logs"]] == [f"step {step}" for step in range(STEPS)]
    [job] = emulator.jobs.values()
    assert seen.get("ids", [job.request_id]) == [job.request_id]
    assert job.options.low_priority == (name == "subscribe")


async def test_fal_client_submits_and_gets_status_and_result_by_handle_and_id(
    emulator: Emulator, outcome: Scenario
) -> None:
    seen = await outcome("submit")
    assert seen["last"]["kind"] == seen["status"]["kind"] == "Completed"
    assert seen["last"]["error"] is None
    assert seen["data"] == seen["again"]


async def test_fal_client_sees_all_four_outcomes_of_a_cancel(emulator: Emulator, outcome: Scenario) -> None:
    @emulator.endpoint("me/endless", runners=1)
    async def endless(input: Any) -> None:
        await asyncio.Event().wait()

    seen = await outcome("cancel")
    assert seen["before"] == {"kind": "Queued", "position": 0}
    for which in ("waiting", "running"):
        assert seen[which]["kind"] == "Completed"
        assert seen[which]["error_type"] == "client_cancelled"
    assert (seen["result"]["status"], seen["result"]["type"]) == (499, "client_cancelled")
    assert (seen["again"]["status"], seen["unknown"]["status"]) == (400, 404)


async def test_fal_client_raises_for_invalid_input_and_an_unknown_model(
    emulator: Emulator, outcome: Scenario
) -> None:
    direct, queued, unknown = await outcome("invalid_input")
    for refusal in (direct, queued):
        assert refusal["status"] == 422
        assert [entry["msg"] for entry in refusal["message"]] == ["Field required"]
    assert unknown["status"] == 404
    assert "not found" in unknown["message"]


async def test_fal_client_raises_401_for_a_wrong_key(emulator: Emulator, outcome: Scenario) -> None:
    for refusal in await outcome("wrong_key"):
        assert refusal["status"] == 401
        assert "No user found" in refusal["message"]
    assert not emulator.jobs
