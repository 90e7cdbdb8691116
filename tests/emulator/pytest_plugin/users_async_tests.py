"""Asynchronous tests of a user. `test_fixtures.py` runs this file under several plugins and loop scopes."""

import asyncio
import threading
import time
import urllib.request
from typing import Any

import pytest

import fal_async
from fal_async import Session
from fal_async.emulator import Emulator

pytestmark: Any = []


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def nothing_left() -> Any:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name == "fal-emulator"] == []


class TestUsersPipeline:
    async def test_result_of_an_endpoint_arrives(self, fal: Session, fal_emulator: Emulator) -> None:
        @fal_emulator.endpoint("me/my-model")
        async def my_model(input: Any, job: Any) -> Any:
            await job.sleep(2)
            return {"answer": input["question"].upper()}

        result = await fal.subscribe("me/my-model", {"question": "why?"})
        assert result.data == {"answer": "WHY?"}
        assert fal_emulator.count("submit") == 1
        await fal_emulator.wait_for("result")

    async def test_second_test_has_its_own_emulator(self, fal: Session, fal_emulator: Emulator) -> None:
        assert fal_emulator.count() == 0
        quick = fal.with_options(tags={"a": "b"})
        assert "a cat" in (await quick.run("fal-ai/any-llm", {"prompt": "a cat"})).data["output"]
        assert [job.endpoint_id for job in fal_emulator.jobs.values()] == ["fal-ai/any-llm"]

    async def test_module_level_calls_follow_the_environment(self, fal_env: Any, fal_key: str) -> None:
        assert fal_env["FAL_KEY"] == fal_key
        assert "a dog" in (await fal_async.run("fal-ai/any-llm", {"prompt": "a dog"})).data["output"]


async def test_emulator_answers_while_the_loop_is_blocked(fal_emulator: Emulator) -> None:
    with urllib.request.urlopen(fal_emulator.url, timeout=10) as answer:  # noqa: ASYNC210
        assert answer.status == 200
    time.sleep(0.001)  # noqa: ASYNC251


async def test_endpoint_waits_for_an_event_of_the_test(fal: Session, fal_emulator: Emulator) -> None:
    gate = threading.Event()

    @fal_emulator.endpoint("me/gated")
    async def gated(input: Any) -> Any:
        while not gate.is_set():
            await asyncio.sleep(0.001)
        return input

    handle = await fal.submit("me/gated", {"a": 1})
    await fal_emulator.jobs[handle.request_id].wait_for("IN_PROGRESS")
    gate.set()
    await fal_emulator.jobs[handle.request_id].wait_for("COMPLETED", timeout=10)
    assert (await handle.result()).data == {"a": 1}


async def test_event_of_the_emulators_loop_is_refused(fal: Session, fal_emulator: Emulator) -> None:
    gate = asyncio.Event()

    @fal_emulator.endpoint("me/gated")
    async def gated(input: Any) -> Any:
        await gate.wait()

    handle = await fal.submit("me/gated", {"a": 1})
    await fal_emulator.jobs[handle.request_id].wait_for("IN_PROGRESS")
    with pytest.raises(RuntimeError, match=r"Share plain values or a threading.Event"):
        gate.set()
    assert (await handle.wait()).data is None


async def test_stream_that_was_left_open_is_ended_with_the_test(fal: Session) -> None:
    stream = fal.stream("fal-ai/any-llm", {"prompt": "a b c"})
    async for _ in stream:
        break


async def test_request_that_was_left_running_is_ended_with_the_test(
    fal: Session, fal_emulator: Emulator
) -> None:
    @fal_emulator.endpoint("me/slow")
    async def slow(input: Any, job: Any) -> None:
        await job.sleep(10_000)

    await fal.submit("me/slow")


async def test_stop_and_restart_are_done_from_the_tests_loop(fal: Session, fal_emulator: Emulator) -> None:
    await fal_emulator.restart()
    assert (await fal.run("fal-ai/any-llm", {"prompt": "x"})).data
    fal_emulator.drop_connections()
    await fal_emulator.stop()
    await fal_emulator.start()
    await fal_emulator.webhooks.wait_until_idle()
