"""Synchronous tests of a user, which `test_fixtures.py` runs."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import unittest
import urllib.request
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import fal_async
from fal_async import Session
from fal_async.emulator import Emulator
from fal_async.integrations.fastapi import Fal, fal_lifespan

app = FastAPI(lifespan=fal_lifespan())


@app.post("/poems")
async def poem(theme: str, fal: Fal) -> Any:
    return (await fal.subscribe("fal-ai/any-llm", {"prompt": theme})).data


@pytest.fixture(autouse=True)
def developers_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAL_RUN_HOST", "FAL_KEY_ID", "FAL_KEY_SECRET", "FAL_QUEUE_RUN_HOST"):
        monkeypatch.setenv(name, "developer.invalid")
    monkeypatch.setenv("FAL_BASE_URL", "https://developer.invalid")
    monkeypatch.setenv("FAL_FORCE_AUTH_BY_USER", "1")


def test_application_answers_a_test_client(fal_env: Any, fal_emulator: Emulator) -> None:
    with TestClient(app) as client:
        assert "a cat" in client.post("/poems", params={"theme": "a cat"}).json()["output"]
        fal_emulator.lock_account()
        with pytest.raises(fal_async.BalanceExhaustedError):
            client.post("/poems", params={"theme": "a cat"})
    assert fal_emulator.count("submit") == 2


def test_synchronous_clients_are_answered(fal_emulator: Emulator, fal_key: str) -> None:
    with urllib.request.urlopen(fal_emulator.url + "/_emulator", timeout=8) as answer:
        assert answer.status == 200
    with httpx2.Client(verify=False, headers={"Authorization": f"Key {fal_key}"}) as client:
        found = client.post(f"{fal_emulator.url}/fal-ai/any-llm", json={"prompt": "x"})
    assert found.status_code == 200


def test_child_process_finds_the_emulator(fal_env: Any, fal_emulator: Emulator) -> None:
    program = (
        "import asyncio, fal_async; print(asyncio.run(fal_async.run('fal-ai/any-llm', {'prompt': 'x'})).data)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, **fal_env}, timeout=30)
    assert fal_emulator.count("run") == 1


def test_session_is_used_in_several_event_loops(fal: Session, fal_emulator: Emulator) -> None:
    for number in range(3):
        asyncio.run(fal.run("fal-ai/any-llm", {"prompt": str(number)}))
    with asyncio.Runner() as runner:
        runner.run(fal.with_options(tags={"a": "b"}).run("fal-ai/any-llm", {"prompt": "x"}))
        assert not runner.run(closed(fal))
    assert fal_emulator.count("run") == 4


async def closed(session: Session) -> bool:
    return session.closed


def test_session_is_used_in_a_thread(fal: Session, fal_emulator: Emulator) -> None:
    thread = threading.Thread(target=lambda: asyncio.run(fal.run("fal-ai/any-llm", {"prompt": "x"})))
    thread.start()
    thread.join()
    assert fal_emulator.count("run") == 1


def test_session_of_a_loop_in_another_thread_is_closed_while_it_runs(
    fal: Session, background: asyncio.AbstractEventLoop, fal_emulator: Emulator
) -> None:
    call = fal.run("fal-ai/any-llm", {"prompt": "x"})
    asyncio.run_coroutine_threadsafe(call, background).result(10)
    assert fal_emulator.connections_open == 1


@pytest.fixture(scope="module")
def background() -> Any:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_webhooks_and_mounts_are_driven_from_the_test(fal_emulator: Emulator, fal: Session) -> None:
    mounted = FastAPI()

    @mounted.post("/")
    async def echo(input: dict[str, Any]) -> Any:
        return input

    fal_emulator.mount("me/mounted", mounted)
    assert asyncio.run(fal.subscribe("me/mounted", {"a": 1})).data == {"a": 1}
    (request_id,) = fal_emulator.jobs
    with pytest.raises(ValueError, match="without a webhook"):
        fal_emulator.webhooks.deliver_soon(request_id)
    attempt = asyncio.run(fal_emulator.webhooks.deliver(request_id, fal_emulator.url + "/nowhere"))
    assert not attempt.delivered
    assert fal_emulator.webhooks.attempts == [attempt]


def test_error_of_a_primitive_of_another_loop_names_the_way_out(fal_emulator: Emulator, fal: Session) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        waiting = asyncio.create_task(gate.wait())
        await asyncio.sleep(0)

        @fal_emulator.endpoint("me/gated")
        async def gated(input: Any) -> None:
            await gate.wait()

        with pytest.raises(fal_async.FalError, match=r"Share plain values or a threading.Event"):
            await fal.run("me/gated")
        waiting.cancel()

    asyncio.run(main())


class TestOfUnittest(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def fixtures(self, fal: Session, fal_emulator: Emulator) -> None:
        self.fal, self.emulator = fal, fal_emulator

    async def test_session_works_in_a_test_case(self) -> None:
        await self.fal.run("fal-ai/any-llm", {"prompt": "x"})
        assert self.emulator.count("run") == 1


def test_control_over_http_is_answered(fal_emulator: Emulator) -> None:
    request = urllib.request.Request(
        fal_emulator.url + "/_emulator/faults",
        data=json.dumps({"kind": "reset", "on": "submit"}).encode(),
    )
    urllib.request.urlopen(request, timeout=8).close()
    assert len(fal_emulator.faults) == 1
